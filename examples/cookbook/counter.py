# Adds to a number in a file, under a lock of the file.
import fcntl, os, sys

path = sys.argv[1] if len(sys.argv) > 1 else "./counter"
times = int(sys.argv[2]) if len(sys.argv) > 2 else 1000

fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
for _ in range(times):
    fcntl.lockf(fd, fcntl.LOCK_EX)  # not fcntl.flock(): that is another kind
    count = int(os.pread(fd, 20, 0) or 0)
    os.pwrite(fd, str(count + 1).encode(), 0)
    fcntl.lockf(fd, fcntl.LOCK_UN)
print("Python has counted")
