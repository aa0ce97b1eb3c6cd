// Texts of SQL that several tests write.

export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
export const identifier = (name) => `"${name.replaceAll('"', '""')}"`;

// What stores a broadcast for the topic. `more`: further arguments, as SQL.
export const send = (topic, event, payload = '{}', more = '') => `SELECT realtime.send(${quoted(payload)}, ${quoted(event)}, ${quoted(topic)}${more});`;
