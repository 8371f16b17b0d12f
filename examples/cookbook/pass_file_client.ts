// Gets an open file from the server, and reads it.

import process from "node:process";
import { adoptDescriptor, File } from "@linux/ipc/descriptor";
import { UnixStream } from "@linux/ipc/socket";

const [path = "./file.socket"] = process.argv.slice(2);
const decoder = new TextDecoder();

using server = await UnixStream.connect(path);
using message = await server.receive({ maxDescriptors: 1, timeout: 5000 });
const passed = message?.descriptors[0];
if (passed === undefined) throw new Error("The server has passed nothing");

using file = adoptDescriptor(passed); // finds the class
if (!(file instanceof File)) throw new Error("That is not a file");
const text = await new Response(file.readable).text();
console.log(`${decoder.decode(message?.data)}: ${text.split("\n")[0]}`);
