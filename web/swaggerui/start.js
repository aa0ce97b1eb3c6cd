// Shows the description of the API. Requests that are tried out go to the server that this page came from, unless another is
// chosen; nothing else is ever asked.

const here = new URL('.', location.href).href.replace(/\/$/, '');

function show(description) {
  const servers = [{ url: here, description: 'this server; its host names the tenant' }, ...description.servers];
  SwaggerUIBundle({
    spec: { ...description, servers },
    dom_id: '#swagger-ui',
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
  });
}

fetch('api/openapi')
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => {
    document.getElementById('swagger-ui').textContent = `The description of the API could not be read: ${error.message}. Load the page again.`;
  });
