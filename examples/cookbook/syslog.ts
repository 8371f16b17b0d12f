// Writes a message to the system log, as logger(1) and syslog(3) do: one datagram to
// /dev/log, where journald, rsyslog or syslogd receives.

import process from "node:process";
import { UnixDatagram } from "@linux/ipc/socket";

const [text = "hello", path = "/dev/log"] = process.argv.slice(2);

const FACILITY = 1; // LOG_USER of <syslog.h>
const SEVERITY = 6; // LOG_INFO
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** "Mon dd hh:mm:ss" of RFC 3164, in local time. */
function timestamp(date: Date): string {
  const day = String(date.getDate()).padStart(2);
  const time = date.toTimeString().slice(0, 8);
  return `${MONTHS[date.getMonth()]} ${day} ${time}`;
}

using socket = await UnixDatagram.connect(path);
const head = `<${FACILITY * 8 + SEVERITY}>${timestamp(new Date())}`;
const message = `${head} example[${process.pid}]: ${text}`;
await socket.send(new TextEncoder().encode(message), { timeout: 5000 });
