/* child_pipe: a parent tells its child one thing through a pipe. */
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

int main(void) {
  int ends[2];
  print_at_once();
  if (pipe(ends) != 0) give_up("pipe");
  pid_t child = fork();
  if (child < 0) give_up("fork");
  if (child == 0) {
    char text[1024];
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text);
    if (length < 0) give_up("read");
    printf("child got message : %.*s\n", (int)length, text);
    return 0;
  }
  static const char message[] = "message from parent\n";
  close(ends[0]);
  if (write(ends[1], message, sizeof message - 1) < 0) give_up("write");
  close(ends[1]);
  int status;
  if (waitpid(child, &status, 0) != child) give_up("waitpid");
  return status != 0;
}
