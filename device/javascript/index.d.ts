/** A program's logger: console will do. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** A log target of the device's own. Its host key is always checked. */
export interface SftpTarget {
  /** host:port */
  address: string;
  /** As in authorized_keys: "ssh-ed25519 AAAA…". */
  host_key: string;
  username: string;
  /** This or key_file, the path of a private key without a passphrase. */
  password?: string;
  key_file?: string;
}

/** The device's record, as device_update carries it. */
export interface DeviceRecord {
  device_id: string;
  device_name: string;
  device_type: string;
  dev_description: string;
  software: object | null;
  business_software: object | null;
  nic: object[];
  updated_time: number;
}

export interface DeviceOptions {
  /** wss://host/ws, or ws://host:9090/ws. */
  url: string;
  /** Who it is: deviceId, or deviceSn with deviceModel; and its password. */
  deviceId?: string;
  deviceSn?: string;
  deviceModel?: string;
  password: string;
  /**
   * The folder of the token and of the journal of orders; one process at a time may use it.
   * Default: $STATE_DIRECTORY, as systemd sets it, or ~/.config/tether-device.
   */
  stateDir?: string;
  /** Connections in a row that may fail to log in before run gives up. Default 5; Infinity: unlimited. */
  maxTries?: number;
  /** What the program says of itself at login. */
  client?: { name?: string; version?: string };
  /** Options of tls.connect for wss: ca, cert, key. Certificates are always verified, and the name in them. */
  tls?: import('node:tls').ConnectionOptions;
  /** What upload_log uploads. Default: such an order fails. */
  logFile?: string;
  /** Where to, if the order does not say. */
  sftp?: SftpTarget;
  /** The folder there. Default /var/log/devices_management. */
  remoteDir?: string;
  /**
   * Milliseconds after which an order has failed and its signal is aborted. The next order begins when its handler has
   * ended, too. Default 600000; Infinity: never.
   */
  orderTimeout?: number;
  /** The program's own figures for a report: an object of at most 8 KiB, within a second. */
  custom?: () => object | Promise<object>;
  /** Told the device's record when business changed it, one after the other. */
  onUpdate?: (record: DeviceRecord) => void | Promise<void>;
  /** Told of each login, and of the end of each connection that was logged in. */
  onState?: (state: 'online' | 'offline', cause: string) => void;
  /** What a restart order does when the connection is closed. Default: exit with code 75, for a supervisor to start it again. */
  restart?: () => void | Promise<void>;
  /** The file system that is reported. Default "/". */
  diskPath?: string;
  /** Default: none. */
  logger?: Logger;
  /** Tells one start of the process from the next. Default: random. */
  bootId?: string;
  /** A factor for the library's own waits, for tests. */
  timeScale?: number;
}

/**
 * Carries out an order. What it returns becomes the order's data: an object as it is, anything else as {"value": …}.
 * An error fails the order with its text. signal is aborted when the device stops, and after orderTimeout.
 */
export type OrderHandler = (params: Record<string, unknown>, context: { signal: AbortSignal }) => unknown;

export class Device {
  constructor(options: DeviceOptions);
  /** Registers the handler of an order. It must not block the event loop: see inWorker. */
  order(name: string, handler: OrderHandler): this;
  /**
   * Connects, logs in, reports, carries out orders, connects again, until there is a reason to stop. Resolves after
   * stop and when the server closes with 1000; rejects with DeviceGone when the device is deleted or disabled, with
   * NoLogin after maxTries tries. After a restart order it calls restart, and resolves if that returns.
   */
  run(): Promise<void>;
  /** Ends run in good order. */
  stop(): void;
  /** The server's time in milliseconds. */
  serverTime(): number;
}

/** The server closed with 4410: the device is deleted or disabled. */
export class DeviceGone extends Error {}

/** As many tries in a row as maxTries did not end in a login. */
export class NoLogin extends Error {}

/** A handler that runs a module's default export, a function of the params, in a worker thread. */
export function inWorker(module: URL | string): OrderHandler;
