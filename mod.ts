/**
 * Linux IPC for Deno, Node and Bun: pipes, FIFOs, message queues, shared memory, memory
 * maps, semaphores, locks, rings and Unix domain sockets.
 *
 * The foreign function interface of the runtime calls the C library directly. So there is
 * nothing to build, and the other process may be in C, C++, Rust, Python or JavaScript.
 *
 * ```ts
 * import { SysvMessageQueue } from "@linux/ipc";
 *
 * using queue = SysvMessageQueue.openOrCreate(0x1970);
 * await queue.send(new TextEncoder().encode("hello"), { type: 1 });
 *
 * // In another process, which may be a C program:
 * const { data } = await queue.receive({ timeout: 1000 });
 * console.log(new TextDecoder().decode(data)); // hello
 * queue.remove();
 * ```
 *
 * ## Which one
 *
 * Each mechanism is an entry point of its own. Its page says when to choose it, and when
 * not. This one has everything.
 *
 * | To | choose | of |
 * | -- | ------ | -- |
 * | send bytes to a child process, or receive its output | {@linkcode pipe} | {@link [pipe] @linux/ipc/pipe} |
 * | send bytes to an unrelated process, or to a shell | {@linkcode Fifo} | {@link [fifo] @linux/ipc/fifo} |
 * | leave messages for the next free process, or for later | {@linkcode SysvMessageQueue}, {@linkcode PosixMessageQueue} | {@link [message-queue] @linux/ipc/message-queue} |
 * | serve clients, learn that a peer is gone, pass open files | {@linkcode UnixListener}, {@linkcode UnixStream}, {@linkcode UnixSeqpacket}, {@linkcode UnixDatagram} | {@link [socket] @linux/ipc/socket} |
 * | send millions of messages a second, or large ones in place | {@linkcode SharedRing}, {@linkcode SharedBroadcast} | {@link [ring] @linux/ipc/ring} |
 * | use the same bytes in several processes | {@linkcode PosixSharedMemory}, {@linkcode SysvSharedMemory}, {@linkcode MemoryFile} | {@link [shared-memory] @linux/ipc/shared-memory} |
 * | use a file as memory: persistent data, random access | {@linkcode MemoryMap} | {@link [memory-map] @linux/ipc/memory-map} |
 * | limit how many processes do something; wake one up | {@linkcode PosixSemaphore}, {@linkcode SysvSemaphoreSet} | {@link [semaphore] @linux/ipc/semaphore} |
 * | guard shared data, also when the holder is killed | {@linkcode SharedMutex}, {@linkcode SharedRwLock}, {@linkcode SharedCondition} | {@link [lock] @linux/ipc/lock} |
 * | take the `pthread_mutex_t` in the memory of a C program | {@linkcode PthreadMutex}, {@linkcode PthreadCondition}, {@linkcode PthreadRwLock}, {@linkcode PthreadBarrier} | {@link [pthread] @linux/ipc/pthread} |
 * | take over a descriptor; use events, timers, processes, locks of files | {@linkcode adoptDescriptor}, {@linkcode File}, {@linkcode EventFd}, {@linkcode TimerFd}, {@linkcode PidFd}, {@linkcode FileLock} | {@link [descriptor] @linux/ipc/descriptor} |
 *
 * For what goes through them: {@link [struct] @linux/ipc/struct} lays out bytes as C does,
 * {@link [reader] @linux/ipc/reader} reads lines or exactly so many bytes from a stream,
 * and {@link [frames] @linux/ipc/frames} adds message boundaries to one.
 * {@link [wait] @linux/ipc/wait} waits for any of several descriptors,
 * {@link [limits] @linux/ipc/limits} tells the limits of the system, and
 * {@link [inspect] @linux/ipc/inspect} what processes share, who holds it and what is
 * stuck. The command {@link [cli] @linux/ipc/cli} shows that in a terminal.
 *
 * ## What all have in common
 *
 * - `receive()` waits without blocking the thread, `receiveSync()` blocks it, and
 *   `tryReceive()` does not wait. Every wait takes a `timeout` in milliseconds, and every
 *   asynchronous one an `AbortSignal` as `signal` ({@linkcode WaitOptions}).
 * - "Nothing now" is `undefined`, the end of a stream is `null`.
 * - A system call that fails is an {@linkcode IpcError} with its `errno`. A wrong argument
 *   is a `TypeError` or a `RangeError`, before any system call; the use of a closed object
 *   is a {@linkcode ClosedError}.
 * - `close()`, or `using`, ends this process's hold. Only `remove()` and `unlink()` destroy
 *   what others use.
 *
 * ## Permissions
 *
 * The module needs `--allow-ffi`. With it a program can call any C function, and so it can
 * do anything that its user can: other permissions no longer confine it.
 * {@linkcode listenFds}, {@linkcode sdNotify} and {@linkcode watchdogTimeout} also read
 * environment variables (`--allow-env`). Importing opens nothing.
 *
 * ## Where it works
 *
 * On Linux, on x86_64 and aarch64, with glibc 2.31 or musl 1.2.3 or later; on Deno 2.7.6,
 * Node 26.9 (26.1 with `--experimental-ffi`) and Bun 1.4 or later. Elsewhere it can be
 * imported, and its first call throws.
 *
 * ## More
 *
 * - [The cookbook](/docs/cookbook.md): whole programs for common tasks.
 * - [From C](/docs/c-to-api.md): which call of C is what here.
 * - [Errors](/docs/errors.md): what each one means, and what to do.
 * - [Deployment](/docs/deployment.md): Docker, Kubernetes, systemd, Alpine, Python.
 * - [Which lock](/docs/which-lock.md) survives what, and costs what.
 * - [The memory model](/docs/memory-model.md): in which order processes see writes.
 * - [The ring format](/docs/ring-format.md), for programs in other languages.
 * - [Benchmarks](/docs/benchmarks.md): how close to C, and what is slower.
 * - [The changelog](/CHANGELOG.md).
 *
 * @module
 */

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./ffi/errors.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./ffi/wait/options.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
} from "./ffi/kernel/descriptor_owner.ts";
export type {
  /** The fields that `change()` of a System V object sets; absent ones stay. */
  SysvChange,
  /** A System V object: by its key, or by its identifier. */
  SysvTarget,
} from "./ffi/kernel/sysv_object.ts";

export {
  /** The number of a descriptor, or an object that has one as `fd`. */
  type DescriptorLike,
  /** `epoll_wait(2)` for several: waits until at least one is ready. */
  waitAny,
  /**
   * `epoll_wait(2)` for `EPOLLIN`: waits until there is something to read, the end and
   * an error included.
   */
  waitReadable,
  /** A descriptor that `waitAny` waits for: to read from it, or else to write to it. */
  type WaitTarget,
  /** `epoll_wait(2)` for `EPOLLOUT`: waits until there is room to write, or an error. */
  waitWritable,
} from "./ffi/wait.ts";

export {
  /** `pipe2(2)`, twice: two pipes, one for each direction. */
  duplexPipe,
  /** Options of `fromFd()`. */
  type FromFdOptions,
  /** Two sides that are connected to each other. */
  type Pair,
  /** A read end and a write end: of one pipe, or of the two that make a duplex pipe. */
  type Pipe,
  /** `pipe2(pipefd, O_CLOEXEC)`: makes a pipe. */
  pipe,
  /** `PIPE_BUF`: a write of at most this many bytes is atomic. */
  PIPE_BUF,
  /** Options of `pipe`. */
  type PipeOptions,
  /** The read end of a pipe or FIFO. */
  PipeReader,
  /** The write end of a pipe or FIFO. */
  PipeWriter,
  /**
   * `splice(source, off_in, target, off_out, length, SPLICE_F_MOVE |
   * SPLICE_F_NONBLOCK)`: moves bytes between descriptors without copying them through
   * this process.
   */
  splice,
  /** Options of `splice`. */
  type SpliceOptions,
  /**
   * `tee(source, target, length, SPLICE_F_NONBLOCK)`: copies bytes from one pipe to
   * another without consuming them.
   */
  tee,
} from "./ffi/pipe.ts";

export {
  /** The limits that `ipcLimits` returns. */
  type IpcLimits,
  /**
   * `msgctl(0, IPC_INFO, ...)` and its siblings: returns the limits of the system for
   * IPC, and how much of them is used now.
   */
  ipcLimits,
  /** One more than the highest priority. */
  MQ_PRIO_MAX,
  /** The limits of POSIX message queues. */
  type PosixMessageQueueLimits,
  /** The maximum value of a POSIX semaphore. */
  SEM_VALUE_MAX,
  /** The limits of System V message queues, and their use in this IPC namespace. */
  type SysvMessageQueueLimits,
  /** The limits of System V semaphore sets, and their use in this IPC namespace. */
  type SysvSemaphoreSetLimits,
  /** The limits of System V shared memory, and its use in this IPC namespace. */
  type SysvSharedMemoryLimits,
} from "./ffi/limits.ts";

export {
  /** Processes that wait for each other. */
  type Deadlock,
  /**
   * `readdir("/proc")` and much more: takes a snapshot of everything that processes
   * share, with the processes that hold it.
   */
  inspect,
  /** An eventfd. */
  type InspectedEventFd,
  /** A FIFO that a process has open. */
  type InspectedFifo,
  /** A file on which there are locks. */
  type InspectedFileLock,
  /** A lock on a file, or a wait for one: a line of /proc/locks. */
  type InspectedLock,
  /** A memory file: `memfd_create`. */
  type InspectedMemoryFile,
  /**
   * A mutex of C (`pthread_mutex_t` of glibc) in shared memory, for which a thread
   * waits.
   */
  type InspectedMutex,
  /** A pipe. */
  type InspectedPipe,
  /** POSIX shared memory: a file in /dev/shm. */
  type InspectedPosixMemory,
  /** A POSIX message queue. */
  type InspectedPosixQueue,
  /** A POSIX semaphore with a name: a file in /dev/shm. */
  type InspectedPosixSemaphore,
  /** One semaphore of a System V set. */
  type InspectedSemaphore,
  /** A System V semaphore set. */
  type InspectedSemaphoreSet,
  /** A System V shared memory segment. */
  type InspectedSysvMemory,
  /** A System V message queue. */
  type InspectedSysvQueue,
  /** A Unix domain socket. */
  type InspectedUnixSocket,
  /** Options of `inspect`. */
  type InspectOptions,
  /** A process that holds an object. */
  type IpcHolder,
  /** The kinds of objects that `inspect` finds. */
  type IpcKind,
  /** An object that processes share. */
  type IpcObject,
  /** What all objects of a snapshot have. */
  type IpcObjectBase,
  /** A process of the snapshot: one that holds an object, or that an object names. */
  type IpcProcess,
  /** What a process does with an object: */
  type IpcRole,
  /** Everything that processes share at a moment. */
  type IpcSnapshot,
  /** The verdict on an object. */
  type IpcVerdict,
  /** An object of this library, which is recognised by its content. */
  type LibraryObject,
  /** What all System V objects have. */
  type SysvObjectBase,
  /** Something that a snapshot lacks, and why. */
  type Unseen,
} from "./ffi/inspect.ts";

export {
  /** A FIFO, found by its path. */
  Fifo,
  /** Options of `Fifo.create`. */
  type FifoCreateOptions,
  /** An entry of `Fifo.list`. */
  type FifoEntry,
} from "./ffi/fifo.ts";

export {
  /** `ftok(path, id)`: returns a key for System V objects. */
  ftok,
  /** A message received from a POSIX queue. */
  type PosixMessage,
  /** A POSIX message queue. */
  PosixMessageQueue,
  /** Options of `create()` and `openOrCreate()` of a `PosixMessageQueue`. */
  type PosixMessageQueueCreateOptions,
  /** An entry of `list()` of `PosixMessageQueue`. */
  type PosixMessageQueueEntry,
  /** Options of `open()` of a `PosixMessageQueue`. */
  type PosixMessageQueueOpenOptions,
  /** The status of a POSIX message queue: `struct mq_attr`, and its permissions. */
  type PosixMessageQueueStat,
  /** Options of `receive()` of a `PosixMessageQueue`, and its siblings. */
  type PosixReceiveOptions,
  /** Options of `send()` of a `PosixMessageQueue`, and its siblings. */
  type PosixSendOptions,
  /** A message received from a System V queue. */
  type SysvMessage,
  /** A System V message queue. */
  SysvMessageQueue,
  /** The fields that `SysvMessageQueue.change` sets; absent ones stay. */
  type SysvMessageQueueChange,
  /** Options of `SysvMessageQueue.create` and `openOrCreate()`. */
  type SysvMessageQueueCreateOptions,
  /** An entry of `SysvMessageQueue.list`. */
  type SysvMessageQueueEntry,
  /** The status of a System V message queue: `struct msqid_ds`. */
  type SysvMessageQueueStat,
  /** Options of `SysvMessageQueue.receive` and its siblings. */
  type SysvReceiveOptions,
  /** A request, received by `SysvMessageQueue.requests`. */
  SysvRequest,
  /** Options of `SysvMessageQueue.send` and its siblings. */
  type SysvSendOptions,
} from "./ffi/message_queue.ts";

export {
  /**
   * A memory file: memory that has no name, and that other processes get with its
   * descriptor.
   */
  MemoryFile,
  /** Options of `create()` of a `MemoryFile`. */
  type MemoryFileCreateOptions,
  /** An entry of `list()` of a `MemoryFile`. */
  type MemoryFileEntry,
  /** Options of `fromFd()` of a `MemoryFile`. */
  type MemoryFileFromFdOptions,
  /**
   * `shm_open(name, ...)`, `mmap(...)`: a POSIX shared memory object, mapped into this
   * process: memory that has a name.
   */
  PosixSharedMemory,
  /** An entry of `PosixSharedMemory.list`. */
  type PosixSharedMemoryEntry,
  /** The status of a POSIX shared memory object. */
  type PosixSharedMemoryStat,
  /** A permanent restriction on a memory file: `F_SEAL_...`. */
  type Seal,
  /**
   * `shmget(key, ...)`, `shmat(id, ...)`: a System V shared memory segment, attached to
   * this process.
   */
  SysvSharedMemory,
  /** Options of `SysvSharedMemory.create` and `openOrCreate()`. */
  type SysvSharedMemoryCreateOptions,
  /** An entry of `SysvSharedMemory.list`. */
  type SysvSharedMemoryEntry,
  /** Options of `SysvSharedMemory.open` and `fromId()`. */
  type SysvSharedMemoryOpenOptions,
  /** The status of a System V shared memory segment: `struct shmid_ds`. */
  type SysvSharedMemoryStat,
} from "./ffi/shared_memory.ts";

export {
  /** The words of a memory, for `Atomics`. */
  type AtomicWords,
  /** Options of `create()` of `MemoryMap` and `PosixSharedMemory`. */
  type MapCreateOptions,
  /** Options of `open()` of `MemoryMap` and `PosixSharedMemory`. */
  type MapOpenOptions,
  /** Options of a mapping: its range of the file, and its access. */
  type MapOptions,
  /**
   * Mapped memory: the base of `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`.
   */
  Memory,
  /** How memory will be used, for `Memory.advise`: `MADV_...`. */
  type MemoryAdvice,
  /**
   * Memory on its way to another thread: the result of `Memory.share`, for one
   * `postMessage` and one `Memory.adopt`.
   */
  type MemoryHandle,
  /** `mmap(...)`: a file, or memory without a file, as bytes. */
  MemoryMap,
  /** Options of `MemoryMap.anonymous`. */
  type MemoryMapAnonymousOptions,
  /** A range of bytes in a file, or in a mapping. */
  type RangeOptions,
  /** Options of the methods that open a `MemoryMap`. */
  type ResizableOptions,
  /** Options of `resize()`. */
  type ResizeOptions,
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) uint8_t value[size]; }`: bytes in
   * memory with one writer, and readers that get consistent copies.
   */
  SequenceBytes,
  /** Options of `SequenceBytes.read` and its siblings. */
  type SequenceBytesReadOptions,
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) T value; }`: a struct in memory
   * with one writer, and readers that get consistent copies: a sequence lock.
   */
  SequenceCell,
} from "./ffi/memory_map.ts";

export {
  /** A POSIX semaphore: with a name, or in shared memory. */
  PosixSemaphore,
  /** Options of `PosixSemaphore.create` and `openOrCreate()`. */
  type PosixSemaphoreCreateOptions,
  /** An entry of `PosixSemaphore.list`. */
  type PosixSemaphoreEntry,
  /** A permit that was taken from a semaphore. */
  type SemaphorePermit,
  /** One semaphore of a `SysvSemaphoreSet`, with permits. */
  SysvSemaphore,
  /** One of the operations that are done together: `struct sembuf`. */
  type SysvSemaphoreOperation,
  /** Options of `SysvSemaphoreSet.semaphore`. */
  type SysvSemaphoreOptions,
  /** A System V semaphore set. */
  SysvSemaphoreSet,
  /** Options of `SysvSemaphoreSet.create` and `openOrCreate()`. */
  type SysvSemaphoreSetCreateOptions,
  /** An entry of `SysvSemaphoreSet.list()`. */
  type SysvSemaphoreSetEntry,
  /** Options of `SysvSemaphoreSet.open`. */
  type SysvSemaphoreSetOpenOptions,
  /** The status of a System V semaphore set: `struct semid_ds`. */
  type SysvSemaphoreSetStat,
  /** The number of waiters of one semaphore of a set, in all processes together. */
  type SysvSemaphoreWaiters,
} from "./ffi/semaphore.ts";

export {
  /** Options of `create()` and `openOrCreate()` of the locks. */
  type LockCreateOptions,
  /** The guard of an exclusive owner. */
  type LockGuard,
  /** The guard of a reader. */
  type ReadGuard,
  /**
   * A robust condition variable between processes: waits, under a `SharedMutex`, until
   * a predicate on the data holds.
   */
  SharedCondition,
  /**
   * The base class of `SharedMutex`, `SharedRwLock` and `SharedCondition`: a System V
   * semaphore set.
   */
  type SharedLock,
  /**
   * A robust mutex between processes: it survives the death of its owner, also by `kill
   * -9`.
   */
  SharedMutex,
  /**
   * A robust reader-writer lock between processes: many readers hold it at a time, or
   * one writer.
   */
  SharedRwLock,
} from "./ffi/lock.ts";

export {
  /**
   * A barrier of C, `pthread_barrier_t`, at an offset of a memory: where a number of
   * processes or threads wait for each other.
   */
  PthreadBarrier,
  /** `pthread_barrier_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadBarrier,
  /** Options of `PthreadBarrier.init`. */
  type PthreadBarrierOptions,
  /**
   * A condition variable of C, `pthread_cond_t`, at an offset of a memory, with a
   * `PthreadMutex`.
   */
  PthreadCondition,
  /** `pthread_cond_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadCondition,
  /** Options of `PthreadCondition.init`. */
  type PthreadConditionOptions,
  /** The guard of the owner of a `PthreadMutex`. */
  type PthreadGuard,
  /**
   * A mutex of C, `pthread_mutex_t`, at an offset of a memory: the lock that C and C++
   * programs put beside the data that they share, Boost.Interprocess included.
   */
  PthreadMutex,
  /** `pthread_mutex_t`, as a field of a struct: for the layout of a C header. */
  pthreadMutex,
  /** Options of `PthreadMutex.init`. */
  type PthreadMutexOptions,
  /**
   * What a thread may do that locks a mutex which it has locked: nothing (`"normal"`,
   * `"errorcheck"`, and `"adaptive"`, whose waiters spin in C), or lock it once more
   * (`"recursive"`).
   */
  type PthreadMutexType,
  /**
   * A read-write lock of C, `pthread_rwlock_t`, at an offset of a memory: many readers,
   * or one writer.
   */
  PthreadRwLock,
  /** `pthread_rwlock_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadRwLock,
  /** The guard of a reader or a writer of a `PthreadRwLock`. */
  type PthreadRwLockGuard,
  /** Options of `PthreadRwLock.init`. */
  type PthreadRwLockOptions,
  /** The type of a field that is an object of C. */
  type PthreadType,
} from "./ffi/pthread.ts";

export {
  /** Writes the messages of a `SharedBroadcast`. */
  BroadcastProducer,
  /** Reads the messages of a `SharedBroadcast`. */
  BroadcastReceiver,
  /** A message that was copied out of a ring. */
  type ReceivedRingMessage,
  /** Space for one message in a ring: fill `RingClaim.bytes`, then commit it. */
  RingClaim,
  /** Reads the messages of a `SharedRing`, which has one consumer at a time. */
  RingConsumer,
  /** Options of `SharedRing.create`. */
  type RingCreateOptions,
  /** What a reader does with each message. */
  type RingHandler,
  /** A message in the memory of a ring. */
  RingMessage,
  /** Where a ring is in its memory. */
  type RingOpenOptions,
  /** The base class of all that takes part in a ring. */
  RingParticipant,
  /** Writes messages into a `SharedRing`. */
  RingProducer,
  /** The base class of the readers of a ring and of a broadcast. */
  RingReader,
  /** Options of `create()` of a ring or a broadcast. */
  type RingSizeOptions,
  /** Options of everything that takes part in a ring. */
  type RingWaitOptions,
  /** Options of the waits of a `RingProducer`. */
  type RingWriteOptions,
  /**
   * Messages from one producer to any number of receivers, in shared memory: a
   * broadcast.
   */
  SharedBroadcast,
  /**
   * A queue of messages in shared memory, between processes: a ring buffer with one
   * producer or many, and one consumer.
   */
  SharedRing,
  /** Reads C structs from a ring or a broadcast. */
  StructConsumer,
  /** Writes C structs into a ring. */
  StructProducer,
} from "./ffi/ring.ts";

export {
  /** A name in the abstract namespace. */
  type AbstractAddress,
  /** A process, its user and its group. */
  type Credentials,
  /** A descriptor that the service manager has passed. */
  type ListenFd,
  /**
   * `sd_listen_fds_with_names(1, &names)`: returns the descriptors that systemd, or
   * another service manager with this protocol, has passed to this process (socket
   * activation).
   */
  listenFds,
  /** A descriptor that was received. */
  PassedDescriptor,
  /**
   * A path that a string cannot represent: one that is not UTF-8, or that begins with
   * "@".
   */
  type PathAddress,
  /**
   * `sd_notify(0, state)`: tells the service manager about the state of this service,
   * waiting without blocking the thread while its queue is full.
   */
  sdNotify,
  /** Options of `sdNotify`. */
  type SdNotifyOptions,
  /**
   * `sd_notify(0, state)`: as `sdNotify`, blocking this thread while the queue of the
   * service manager is full, and with `BARRIER=1` until it has processed all earlier
   * notifications.
   */
  sdNotifySync,
  /**
   * The address of a Unix domain socket: a path of UTF-8, a path of other bytes, or a
   * name in the abstract namespace.
   */
  type UnixAddress,
  /** Options of a socket that is bound to an address. */
  type UnixBindOptions,
  /** The sizes of the buffers of a socket, in bytes. */
  type UnixBufferSizes,
  /** The base class of all Unix domain sockets that carry data: all but listeners. */
  type UnixChannel,
  /** The base class of Unix domain sockets that are one side of a connection. */
  type UnixConnection,
  /** A Unix datagram socket: messages without a connection. */
  UnixDatagram,
  /** Options of `connect()` of a `UnixDatagram`. */
  type UnixDatagramConnectOptions,
  /** An entry of `list()` of a `UnixDatagram`. */
  type UnixDatagramEntry,
  /** A Unix socket that accepts connections. */
  UnixListener,
  /** An entry of `list()` of a `UnixListener`. */
  type UnixListenerEntry,
  /** Options of `listen()` of a `UnixListener`. */
  type UnixListenOptions,
  /** A received message. */
  type UnixMessage,
  /** Options of a socket that receives messages: what may accompany them. */
  type UnixPassOptions,
  /** Options of `receive()` and `peek()` of the sockets, and of their siblings. */
  type UnixReceiveOptions,
  /** Options of `send()` of the sockets, and of its siblings. */
  type UnixSendOptions,
  /** Options of `send()` of a `UnixDatagram`, and its siblings. */
  type UnixSendToOptions,
  /**
   * A connected Unix seqpacket socket: one side of a connection that carries messages.
   */
  UnixSeqpacket,
  /** The base class of all Unix domain sockets. */
  type UnixSocket,
  /** A connected Unix stream socket: one side of a connection. */
  UnixStream,
  /**
   * `sd_watchdog_enabled(0, &usec)`: the time after which the service manager considers
   * this service as hung, unless it is told `WATCHDOG=1` before.
   */
  watchdogTimeout,
} from "./ffi/socket.ts";

export {
  /** A descriptor that has arrived, and is not taken yet. */
  type ArrivedDescriptor,
  /**
   * Reads a stream of bytes exactly: `read(2)` into a buffer, from which each call
   * takes what it is asked for, and waits until that is complete.
   */
  BufferedReader,
  /** Options of a `BufferedReader`. */
  type BufferedReaderOptions,
  /** A stream of bytes to read from, such as a `PipeReader` or a `UnixStream`. */
  type ByteSource,
  /** What a reader has read from its source and not returned. */
  type DetachedBuffer,
  /** Descriptors that were taken from a reader. */
  type TakenDescriptors,
} from "./ffi/reader.ts";

export {
  /** A message, and the descriptors that came with it. */
  type FramedMessage,
  /** Options of `FramedStream.send` and its siblings. */
  type FramedSendOptions,
  /** Sends and receives messages over a stream: `write(2)` and `read(2)` of frames. */
  FramedStream,
  /** Options of a `FramedStream`. */
  type FramedStreamOptions,
  /** A stream to write frames to, such as a `UnixStream` or a `PipeWriter`. */
  type FrameWriter,
} from "./ffi/frames.ts";

export {
  /**
   * `fstat(2)`, `getsockopt(2)` and others: asks the kernel what a descriptor is, and
   * makes it an object of the class that fits, with its `fromFd()`.
   */
  adoptDescriptor,
  /** What `adoptDescriptor` returns: tell them apart with `instanceof`. */
  type AdoptedDescriptor,
  /** What a descriptor is. */
  type DescriptorKind,
  /**
   * A counter in the kernel, on which processes wait until it is not zero: a wake-up
   * that is not lost, and costs one descriptor.
   */
  EventFd,
  /** An entry of `EventFd.list`. */
  type EventFdEntry,
  /** Options of `EventFd.create`. */
  type EventFdOptions,
  /** How a process has ended. */
  type ExitStatus,
  /**
   * An open file of any kind, for the descriptor of another program: a regular file, a
   * device, a terminal, inotify, a socket of another family than `AF_UNIX`.
   */
  File,
  /** Options of `File.create` and `File.openOrCreate`. */
  type FileCreateOptions,
  /**
   * A lock of a file, or of a range of its bytes, which processes in any language see:
   * `fcntl` in C, `fcntl.lockf` in Python, SQLite.
   */
  FileLock,
  /** An entry of `FileLock.list`: a lock, or a wait for one. */
  type FileLockEntry,
  /** What a lock is held by. */
  type FileLockGuard,
  /** A lock that another one conflicts with. */
  type FileLockHolder,
  /** Whether a lock is shared. */
  type FileLockMode,
  /** Options of `FileLock.of`: the bytes that are locked. */
  type FileLockRange,
  /** Options of `File.open`. */
  type FileOpenOptions,
  /**
   * A process, as a descriptor: it stands for that process even if its number is used
   * again, and is readable when the process has ended.
   */
  PidFd,
  /** What an offset of `File.seek` is relative to. */
  type SeekOrigin,
  /** The clock of a timer. */
  type TimerClock,
  /**
   * A timer in the kernel that is waited for like a pipe: beside other descriptors with
   * `waitAny`, or by another process to which it is passed.
   */
  TimerFd,
  /** Options of `TimerFd.create`. */
  type TimerFdOptions,
  /** When a timer expires: one of `after` and `at`, or `interval` alone. */
  type TimerSetting,
  /** What a timer is going to do. */
  type TimerStatus,
} from "./ffi/descriptor.ts";

export * from "./ffi/struct.ts";
