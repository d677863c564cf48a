// A device on vscode-ws-jsonrpc, which carries vscode-jsonrpc over a WebSocket.
import rpc from 'vscode-jsonrpc';
import { createWebSocketConnection, toSocket } from 'vscode-ws-jsonrpc';
import { run, say } from './device.mjs';

run({
  name: 'vscode-ws-jsonrpc',
  subprotocols: ['tether.v1', 'jsonrpc'],
  fault: (message) => new rpc.ResponseError(17, message, { part: 'lamp' }),

  open(socket, { restart_confirm, ...methods }) {
    const connection = createWebSocketConnection(toSocket(socket), rpc.NullLogger);
    for (const [name, method] of Object.entries(methods)) connection.onRequest(name, method);
    connection.onNotification('restart_confirm', restart_confirm);
    connection.listen();
    return {
      // It takes an argument that is there for a parameter, even if undefined.
      request: (method, ...params) => connection.sendRequest(method, ...params.filter((p) => p !== undefined)),
      cancelled(method) {
        const source = new rpc.CancellationTokenSource();
        const answer = connection.sendRequest(method, source.token);
        source.cancel();
        return answer;
      },
      progress: () => connection.sendProgress(new rpc.ProgressType(), 'token', { percent: 50 }),
      closed: () => {}, // it disposes of itself
    };
  },

  // Its own notifications, $/cancelRequest and $/progress, mean nothing here.
  async more({ cancelled, progress, request }) {
    say('cancelled', await cancelled('ping'));
    await progress();
    say('three at once', ...await Promise.all([request('ping'), request('ping', {}), request('ping', [])]));
  },
});
