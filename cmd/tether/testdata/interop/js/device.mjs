// What each of these devices does, whatever library speaks JSON-RPC for it.
// It says on standard output what its library made of each answer. It comes
// back at once, whatever its connection was closed with, as no device should:
// southbound section 5 says when.
import WebSocket from 'ws';

const [url, device_id, password] = process.argv.slice(2);
const report = { device_id, CPU_info: { user_cpu_time: 1.5 }, Memory_info: { total_memory_mb: 512 }, Disk_info: {} };
const large = { ...report, custom: { filler: 'é'.repeat(3500) } };

/** say prints a line for the test. */
export const say = (...words) => console.log(words.join(' '));

/**
 * run is a whole device. A library is
 *   open(socket, methods)     a connection with request(method, params) and closed()
 *   fault(message)            the library's own error, for a method to throw
 *   more(connection, socket)  what only this one does
 *   subprotocols              what it offers
 */
export function run({ name, open, fault, more, subprotocols = [] }) {
  let boot = 0;
  let secret = { password };
  let stopping = false;
  let socket;
  let connection;

  const orders = {
    say: ({ text }) => ({ status: 'success', message: 'said', data: { text } }),
    ask: async () => ({ status: 'success', message: 'asked', data: { answer: await connection.request('ping') } }),
    broken: () => { throw fault('the lamp is broken'); },
    clumsy: () => { throw new Error('the lamp is broken'); },
    nothing: () => {},
    restart: () => ({ status: 'success', message: 'wait Server Confirm' }),
  };
  const methods = {
    give_order: async ({ order_type, params }) => (
      Object.hasOwn(orders, order_type) ? orders[order_type](params) : { status: 'fail', message: 'order not in config' }),
    device_update: ({ device_name }) => { say('device_update', device_name); return {}; },
    restart_confirm: () => { say('restart_confirm'); socket.close(1000, 'restarting'); },
  };

  async function ask(method, params) {
    try {
      say(method, JSON.stringify(await connection.request(method, params)));
    } catch (error) {
      say(method, error.code, error.message);
    }
  }

  async function talk() {
    const { token } = await connection.request('login', { device_id, ...secret, boot_id: `boot-${++boot}`, client: { name } });
    say('login', Object.keys(secret)[0]);
    secret = { token };
    await ask('ping');
    await ask('upload_status_info', report);
    if (boot === 1) {
      await ask('no_such_method', {});
      await ask('upload_status_info', { device_id });
      await ask('upload_status_info', large);
      await more(connection, socket);
    }
    say('ready', boot);
  }

  function start() {
    socket = new WebSocket(url, subprotocols);
    let beat;
    socket.onopen = () => {
      connection = open(socket, methods);
      beat = setInterval(() => connection.request('ping').catch(() => {}), 5000);
      talk().catch((error) => { say('failed', error.stack); socket.close(1000); });
    };
    socket.addEventListener('close', () => {
      say('closed');
      clearInterval(beat);
      connection?.closed();
      if (!stopping) start();
    });
  }

  process.once('SIGTERM', () => { stopping = true; socket.close(1000, 'done'); });
  start();
}
