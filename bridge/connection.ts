// The connection to a NATS server, and what a bridge needs of JetStream: a stream, and
// for the incoming side a durable consumer.
//
// A connection is never taken up again: when it is lost, a bridge opens another one and
// starts from what its journal says. So all that was published over one connection has
// arrived up to some message, and nothing after that.

import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
} from "@nats-io/jetstream";
import {
  type Authenticator,
  AuthorizationError,
  credsAuthenticator,
  type NatsConnection,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import { BridgeError } from "./error.ts";
import { connect } from "./transport.ts";

/** Where the NATS server is, and who this process is there. */
export interface ServerOptions {
  /**
   * The addresses of one server or of several of a cluster.
   *
   * @default {"nats://127.0.0.1:4222"}
   */
  readonly servers?: string | readonly string[] | undefined;
  /** The name of a user. */
  readonly user?: string | undefined;
  /** The password of the user. */
  readonly password?: string | undefined;
  /** A token in place of a user. */
  readonly token?: string | undefined;
  /** The path of a file with a JWT and its key, as `nsc` writes it. */
  readonly credentials?: string | undefined;
  /** The paths of PEM files. An empty object asks for TLS with the system's authorities. */
  readonly tls?:
    | { readonly ca?: string; readonly cert?: string; readonly key?: string }
    | undefined;
}

/** The room for headers in a message: the identifiers, the type and the priority. */
export const HEADER_ROOM = 1024;

const NANOSECONDS = 1_000_000; // of a millisecond
const STREAM_NOT_FOUND = 10059;
const STREAM_NAME_IN_USE = 10058;
const CONSUMER_NOT_FOUND = 10014;
const NO_MESSAGE = 10037;
const CONSUMER_EXISTS = new Set([10013, 10105, 10148]);
const NOT_UNIQUE = new Set([10099, 10100]); // consumers of a work queue

/** Whether an error of the JetStream API has this code. */
export function hasCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

function authenticatorOf(
  { credentials }: ServerOptions,
): { authenticator?: Authenticator } {
  if (credentials === undefined) return {};
  return { authenticator: credsAuthenticator(readFileSync(credentials)) };
}

function tlsOf({ tls }: ServerOptions): object {
  if (tls === undefined) return {};
  const { ca, cert, key } = tls;
  return {
    tls: {
      ...(ca === undefined ? {} : { caFile: ca }),
      ...(cert === undefined ? {} : { certFile: cert }),
      ...(key === undefined ? {} : { keyFile: key }),
    },
  };
}

/** Opens a connection, which is not opened again when it is lost. */
export async function open(
  options: ServerOptions,
  name: string,
): Promise<NatsConnection> {
  const { servers = "nats://127.0.0.1:4222", user, password, token } = options;
  try {
    return await connect({
      servers: typeof servers === "string" ? servers : [...servers],
      name,
      ...(user === undefined ? {} : { user, pass: password ?? "" }),
      ...(token === undefined ? {} : { token }),
      ...authenticatorOf(options),
      ...tlsOf(options),
      reconnect: false,
      timeout: 5000,
      pingInterval: 5000,
    });
  } catch (error) {
    if (
      error instanceof AuthorizationError ||
      error instanceof UserAuthenticationExpiredError
    ) {
      throw new BridgeError(
        `The NATS server ${servers} refuses these credentials: ${error.message}`,
      );
    }
    throw error;
  }
}

/** Checks that a subject names one place: no wildcard, no empty part, nothing reserved. */
export function checkSubject(subject: string): void {
  if (typeof subject !== "string") {
    throw new TypeError(`Argument "subject" must be a string: ${subject}`);
  }
  if (/[*>]/.test(subject)) {
    throw new RangeError(
      `Argument "subject" must be without wildcards: ${subject}`,
    );
  }
  if (
    !/^[^\s\p{Cc}.]+(?:\.[^\s\p{Cc}.]+)*$/u.test(subject) ||
    /^[$_]/.test(subject)
  ) {
    throw new RangeError(
      'Argument "subject" must consist of parts with dots between them, without ' +
        `spaces, and must not begin with $ or _: "${subject}"`,
    );
  }
}

/** The name of a stream or a consumer, made from a subject. */
export function nameFor(subject: string): string {
  return `ipc_${subject.replace(/[./\\]/g, "_")}`;
}

/** What a stream must be like. */
export interface StreamWish {
  readonly subject: string;
  readonly name: string | undefined;
  /** Whether to create it if it is missing. */
  readonly create: boolean;
  readonly maxBytes: number;
  /** The longest message of the queue; undefined if the far side decides. */
  readonly maxSize: number | undefined;
  /** Milliseconds in which a message that is published again is recognised. */
  readonly duplicateWindow: number;
}

/** The manager of JetStream on the server. */
export function managerOf(
  connection: NatsConnection,
): Promise<JetStreamManager> {
  return jetstreamManager(connection, { timeout: 5000 });
}

/** Finds the stream of a subject, or creates it. */
export async function streamFor(
  manager: JetStreamManager,
  wish: StreamWish,
): Promise<StreamInfo> {
  const { subject, name, create } = wish;
  const found = name ?? await findStream(manager, subject);
  if (found !== undefined) {
    const info = await streamInfo(manager, found);
    if (info !== undefined) return await checkStream(manager, info, subject);
  }
  if (!create) {
    throw new BridgeError(
      name === undefined
        ? `No stream has the subject ${subject}`
        : `There is no stream ${name}`,
    );
  }
  return await createStream(manager, wish);
}

/** The name of the stream that has this subject; undefined if none has. */
export async function findStream(
  manager: JetStreamManager,
  subject: string,
): Promise<string | undefined> {
  try {
    return await manager.streams.find(subject);
  } catch (error) {
    if (error instanceof Error && /no stream matches/.test(error.message)) {
      return undefined;
    }
    throw error;
  }
}

async function streamInfo(
  manager: JetStreamManager,
  name: string,
): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (isStreamMissing(error)) return undefined;
    throw error;
  }
}

/** Whether an error says that the stream is not there. */
export function isStreamMissing(error: unknown): boolean {
  return hasCode(error, STREAM_NOT_FOUND) ||
    (error instanceof Error && error.message === "stream not found");
}

async function checkStream(
  manager: JetStreamManager,
  info: StreamInfo,
  subject: string,
): Promise<StreamInfo> {
  const { name } = info.config;
  if (await findStream(manager, subject) !== name) {
    throw new BridgeError(
      `The stream ${name} does not have the subject ${subject}`,
    );
  }
  return info;
}

async function createStream(
  manager: JetStreamManager,
  wish: StreamWish,
): Promise<StreamInfo> {
  const { subject, name = nameFor(subject), maxBytes, maxSize } = wish;
  try {
    return await manager.streams.add({
      name,
      subjects: [subject],
      // Each message is for one receiver. A full stream refuses: it forgets nothing.
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      storage: StorageType.File,
      max_bytes: maxBytes,
      max_msg_size: maxSize === undefined ? -1 : maxSize + HEADER_ROOM,
      duplicate_window: wish.duplicateWindow * NANOSECONDS,
    });
  } catch (error) {
    // The other side was faster.
    if (!hasCode(error, STREAM_NAME_IN_USE)) throw error;
    return await checkStream(
      manager,
      await manager.streams.info(name),
      subject,
    );
  }
}

/** Whether a stream has a message with this number. */
export async function hasMessage(
  manager: JetStreamManager,
  stream: string,
  seq: number,
): Promise<boolean> {
  try {
    return await manager.streams.getMessage(stream, { seq }) !== null;
  } catch (error) {
    if (hasCode(error, NO_MESSAGE)) return false;
    throw error;
  }
}

/** Why messages of this stream may be lost; undefined if none are. */
export function riskOf({ config }: StreamInfo): string | undefined {
  const { name, discard, max_age, max_bytes, max_msgs } = config;
  if (max_age > 0) {
    return `the stream ${name} forgets messages by age (max_age)`;
  }
  const isLimited = max_bytes > 0 || max_msgs > 0 ||
    config.max_msgs_per_subject > 0;
  if (discard === DiscardPolicy.Old && isLimited) {
    return `the stream ${name} discards old messages when it is full (discard old)`;
  }
  return undefined;
}

/** What a consumer must be like. */
export interface ConsumerWish {
  readonly stream: string;
  readonly subject: string;
  readonly durable: string;
  /** Messages that are not acknowledged, at most. */
  readonly window: number;
  /** Milliseconds after which a message that is not acknowledged is delivered again. */
  readonly ackWait: number;
}

/** Finds the durable consumer, or creates it. */
export async function consumerFor(
  manager: JetStreamManager,
  wish: ConsumerWish,
): Promise<ConsumerInfo> {
  const { stream, subject, durable, window, ackWait } = wish;
  const limits = { max_ack_pending: window, ack_wait: ackWait * NANOSECONDS };
  try {
    const { config } = await manager.consumers.info(stream, durable);
    const isRight = config.deliver_subject === undefined &&
      config.ack_policy === AckPolicy.Explicit &&
      (config.filter_subject ?? subject) === subject;
    if (!isRight) {
      throw new BridgeError(
        `The consumer ${durable} of the stream ${stream} exists, and is not a pull ` +
          `consumer of ${subject} with explicit acknowledgements`,
      );
    }
    return await manager.consumers.update(stream, durable, limits);
  } catch (error) {
    if (!hasCode(error, CONSUMER_NOT_FOUND)) throw error;
  }
  try {
    return await manager.consumers.add(stream, {
      durable_name: durable,
      filter_subject: subject,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ...limits,
    });
  } catch (error) {
    if (error instanceof JetStreamApiError && NOT_UNIQUE.has(error.code)) {
      throw new BridgeError(
        `Another consumer takes the messages of ${subject} from the stream ${stream}, ` +
          "which hands out each message once (retention workqueue): use its name as " +
          "the durable name, or a stream with another retention",
      );
    }
    if (error instanceof JetStreamApiError && CONSUMER_EXISTS.has(error.code)) {
      return await manager.consumers.info(stream, durable);
    }
    throw error;
  }
}
