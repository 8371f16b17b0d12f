/**
 * Linux IPC for Deno: pipes, FIFOs, message queues, shared memory, memory maps,
 * semaphores, rings and Unix domain sockets, by calling libc directly.
 *
 * Each mechanism is an entry point of its own, with a page that says when to
 * choose it: `@linux/ipc/pipe`, `/fifo`, `/message-queue`, `/shared-memory`,
 * `/memory-map`, `/semaphore`, `/lock`, `/pthread`, `/ring`, `/socket`, `/reader`,
 * `/frames`, `/descriptor`, `/struct`, `/wait`, `/limits` and `/inspect`. This one has all.
 *
 * ```ts
 * import { pipe } from "@linux/ipc";
 *
 * using ends = pipe();
 * ends.writer.writeSync(new TextEncoder().encode("message"));
 * console.log(ends.reader.readSync(new Uint8Array(1024))); // 7
 * ```
 *
 * @module
 */

export {
  ClosedError,
  IpcError,
  type IpcErrorInit,
  type SystemLimit,
} from "./ffi/errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./ffi/wait/options.ts";
export type { DescriptorOwner } from "./ffi/kernel/descriptor_owner.ts";
export type { SysvChange, SysvTarget } from "./ffi/kernel/sysv_object.ts";

export {
  type DescriptorLike,
  waitAny,
  waitReadable,
  type WaitTarget,
  waitWritable,
} from "./ffi/wait.ts";

export {
  duplexPipe,
  type FromFdOptions,
  type Pair,
  type Pipe,
  pipe,
  PIPE_BUF,
  type PipeOptions,
  PipeReader,
  PipeWriter,
  splice,
  type SpliceOptions,
  tee,
} from "./ffi/pipe.ts";

export {
  type IpcLimits,
  ipcLimits,
  MQ_PRIO_MAX,
  type PosixMessageQueueLimits,
  SEM_VALUE_MAX,
  type SysvMessageQueueLimits,
  type SysvSemaphoreSetLimits,
  type SysvSharedMemoryLimits,
} from "./ffi/limits.ts";

export {
  type Deadlock,
  inspect,
  type InspectedEventFd,
  type InspectedFifo,
  type InspectedFileLock,
  type InspectedLock,
  type InspectedMemoryFile,
  type InspectedPipe,
  type InspectedPosixMemory,
  type InspectedPosixQueue,
  type InspectedPosixSemaphore,
  type InspectedSemaphore,
  type InspectedSemaphoreSet,
  type InspectedSysvMemory,
  type InspectedSysvQueue,
  type InspectedUnixSocket,
  type InspectOptions,
  type IpcHolder,
  type IpcKind,
  type IpcObject,
  type IpcObjectBase,
  type IpcProcess,
  type IpcRole,
  type IpcSnapshot,
  type IpcVerdict,
  type LibraryObject,
  type SysvObjectBase,
  type Unseen,
} from "./ffi/inspect.ts";

export { Fifo, type FifoCreateOptions } from "./ffi/fifo.ts";

export {
  ftok,
  type PosixMessage,
  PosixMessageQueue,
  type PosixMessageQueueCreateOptions,
  type PosixMessageQueueEntry,
  type PosixMessageQueueOpenOptions,
  type PosixMessageQueueStat,
  type PosixReceiveOptions,
  type PosixSendOptions,
  type SysvMessage,
  SysvMessageQueue,
  type SysvMessageQueueChange,
  type SysvMessageQueueCreateOptions,
  type SysvMessageQueueEntry,
  type SysvMessageQueueStat,
  type SysvReceiveOptions,
  SysvRequest,
  type SysvSendOptions,
} from "./ffi/message_queue.ts";

export {
  MemoryFile,
  type MemoryFileCreateOptions,
  type MemoryFileFromFdOptions,
  PosixSharedMemory,
  type PosixSharedMemoryEntry,
  type PosixSharedMemoryStat,
  type Seal,
  SysvSharedMemory,
  type SysvSharedMemoryCreateOptions,
  type SysvSharedMemoryEntry,
  type SysvSharedMemoryOpenOptions,
  type SysvSharedMemoryStat,
} from "./ffi/shared_memory.ts";

export {
  type AtomicWords,
  type MapCreateOptions,
  type MapOpenOptions,
  type MapOptions,
  Memory,
  type MemoryAdvice,
  type MemoryHandle,
  MemoryMap,
  type MemoryMapAnonymousOptions,
  type RangeOptions,
  type ResizableOptions,
  type ResizeOptions,
  SequenceBytes,
  type SequenceBytesReadOptions,
  SequenceCell,
} from "./ffi/memory_map.ts";

export {
  PosixSemaphore,
  type PosixSemaphoreCreateOptions,
  type PosixSemaphoreEntry,
  type SemaphorePermit,
  SysvSemaphore,
  type SysvSemaphoreOperation,
  type SysvSemaphoreOptions,
  SysvSemaphoreSet,
  type SysvSemaphoreSetCreateOptions,
  type SysvSemaphoreSetEntry,
  type SysvSemaphoreSetOpenOptions,
  type SysvSemaphoreSetStat,
  type SysvSemaphoreWaiters,
} from "./ffi/semaphore.ts";

export {
  type LockCreateOptions,
  type LockGuard,
  type ReadGuard,
  SharedCondition,
  type SharedLock,
  SharedMutex,
  SharedRwLock,
} from "./ffi/lock.ts";

export {
  PthreadBarrier,
  pthreadBarrier,
  type PthreadBarrierOptions,
  PthreadCondition,
  pthreadCondition,
  type PthreadConditionOptions,
  type PthreadGuard,
  PthreadMutex,
  pthreadMutex,
  type PthreadMutexOptions,
  type PthreadMutexType,
  PthreadRwLock,
  pthreadRwLock,
  type PthreadRwLockGuard,
  type PthreadRwLockOptions,
  type PthreadType,
} from "./ffi/pthread.ts";

export {
  BroadcastProducer,
  BroadcastReceiver,
  type ReceivedRingMessage,
  RingClaim,
  RingConsumer,
  type RingCreateOptions,
  type RingHandler,
  RingMessage,
  type RingOpenOptions,
  RingParticipant,
  RingProducer,
  RingReader,
  type RingSizeOptions,
  type RingWaitOptions,
  type RingWriteOptions,
  SharedBroadcast,
  SharedRing,
  StructConsumer,
  StructProducer,
} from "./ffi/ring.ts";

export {
  type AbstractAddress,
  type Credentials,
  type ListenFd,
  listenFds,
  PassedDescriptor,
  type PathAddress,
  sdNotify,
  type SdNotifyOptions,
  sdNotifySync,
  type UnixAddress,
  type UnixBindOptions,
  type UnixBufferSizes,
  type UnixChannel,
  type UnixConnection,
  UnixDatagram,
  type UnixDatagramConnectOptions,
  UnixListener,
  type UnixListenOptions,
  type UnixMessage,
  type UnixPassOptions,
  type UnixReceiveOptions,
  type UnixSendOptions,
  type UnixSendToOptions,
  UnixSeqpacket,
  type UnixSocket,
  UnixStream,
  watchdogTimeout,
} from "./ffi/socket.ts";

export {
  type ArrivedDescriptor,
  BufferedReader,
  type BufferedReaderOptions,
  type ByteSource,
  type DetachedBuffer,
  type TakenDescriptors,
} from "./ffi/reader.ts";

export {
  type FramedMessage,
  type FramedSendOptions,
  FramedStream,
  type FramedStreamOptions,
  type FrameWriter,
} from "./ffi/frames.ts";

export {
  adoptDescriptor,
  type AdoptedDescriptor,
  type DescriptorKind,
  EventFd,
  type EventFdOptions,
  type ExitStatus,
  File,
  type FileCreateOptions,
  FileLock,
  type FileLockGuard,
  type FileLockHolder,
  type FileLockMode,
  type FileLockRange,
  type FileOpenOptions,
  PidFd,
  type SeekOrigin,
  type TimerClock,
  TimerFd,
  type TimerFdOptions,
  type TimerSetting,
  type TimerStatus,
} from "./ffi/descriptor.ts";

export * from "./ffi/struct.ts";
