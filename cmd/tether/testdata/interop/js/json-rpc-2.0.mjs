// A device on json-rpc-2.0, which leaves the transport to its user.
import { JSONRPCClient, JSONRPCErrorException, JSONRPCServer, JSONRPCServerAndClient } from 'json-rpc-2.0';
import { run, say } from './device.mjs';

run({
  name: 'json-rpc-2.0',
  fault: (message) => new JSONRPCErrorException(message, 17, { part: 'lamp' }),

  open(socket, methods) {
    const peer = new JSONRPCServerAndClient(new JSONRPCServer(), new JSONRPCClient((message) => socket.send(JSON.stringify(message))));
    for (const [name, method] of Object.entries(methods)) peer.addMethod(name, method);
    socket.onmessage = ({ data }) => peer.receiveAndSend(JSON.parse(data));
    return {
      request: (method, params) => peer.request(method, params),
      batch: (requests) => peer.requestAdvanced(requests),
      notify: (method, params) => peer.notify(method, params),
      closed: () => peer.rejectAllPendingRequests('closed'),
    };
  },

  // A batch, with ids that are strings, a notification nobody knows, and the
  // transport's own ping.
  async more({ batch, notify }, socket) {
    notify('note', { of: 'nothing' });
    const answers = await batch([
      { jsonrpc: '2.0', id: 'first', method: 'ping', params: [] },
      { jsonrpc: '2.0', method: 'ping' },
      { jsonrpc: '2.0', id: 'é', method: 'no_such_method' },
      { jsonrpc: '2.0', id: 'third', method: 'ping', params: {} },
    ]);
    for (const { id, result, error } of answers) say('batch', id, result ?? error.code);
    socket.ping('alive?');
    await new Promise((resolve) => socket.once('pong', (payload) => resolve(say('pong', payload))));
  },
});
