// A device on json-rpc-peer, which is a stream of messages. Its ids are
// numbers from -9007199254740991. It sends each message in two fragments, which
// may part a character.
import jsonRpcPeer from 'json-rpc-peer';
import { run, say } from './device.mjs';

const { Peer, JsonRpcError, MethodNotFound } = jsonRpcPeer;

function inFragments(socket, message) {
  const half = Math.floor(message.length / 2);
  socket.send(message.subarray(0, half), { binary: false, fin: false });
  socket.send(message.subarray(half), { fin: true });
}

run({
  name: 'json-rpc-peer',
  fault: (message) => new JsonRpcError(message, 17, { part: 'lamp' }),

  open(socket, methods) {
    const peer = new Peer(({ method, params }) => {
      if (!Object.hasOwn(methods, method)) throw new MethodNotFound(method);
      return methods[method](params);
    });
    peer.on('data', (message) => inFragments(socket, Buffer.from(String(message))));
    socket.onmessage = ({ data }) => peer.write(data);
    return {
      request: (method, params) => peer.request(method, params),
      notify: (method, params) => peer.notify(method, params),
      closed: () => peer.failPendingRequests(new Error('closed')),
    };
  },

  // Requests in a pipeline, and notifications: of a method that is known too.
  async more({ notify, request }) {
    notify('ping');
    notify('upload_status_info', { nonsense: true });
    say('three at once', ...await Promise.all([request('ping'), request('ping', {}), request('ping', [])]));
  },
});
