// node crowd.mjs PORT COUNT: opens COUNT connections, says nothing on any, and tells as JSON what each one was answered. A
// process of its own, so that its work does not delay the clients that are watched.
import net from 'node:net';

const [port, count] = process.argv.slice(2).map(Number);
const IN_FLIGHT = 200;
const started = performance.now();
const answers = {};
let begun = 0;
let open = 0;
let openAtOnce = 0;
let gone = 0;

function connectNext() {
  if (begun === count) return;
  begun += 1;
  const socket = net.connect(port, '127.0.0.1');
  let received = '';
  socket.on('connect', () => {
    open += 1;
    openAtOnce = Math.max(openAtOnce, open);
    connectNext();
  });
  socket.on('data', (data) => (received += data.toString('latin1')));
  socket.on('error', (error) => (received ||= error.code));
  socket.on('close', () => {
    open -= 1;
    const answer = received.slice(0, 'HTTP/1.1 408'.length) || 'nothing';
    answers[answer] = (answers[answer] ?? 0) + 1;
    gone += 1;
    if (gone === count) process.stdout.write(JSON.stringify({ answers, openAtOnce, elapsedMs: Math.round(performance.now() - started) }));
  });
}

for (let i = 0; i < IN_FLIGHT; i += 1) connectNext();
