// A FIFO in each direction, with nothing but libc.

import { fifoEnds } from "../ours/ends.ts";
import { playThrough } from "./descriptor.ts";

const { reader, writer } = fifoEnds();
using _reader = reader; // forgotten, they would be closed
using _writer = writer;
await playThrough(reader.fd, writer.fd);
