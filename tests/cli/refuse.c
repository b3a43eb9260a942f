/* refuse CALL=ERROR... -- PROGRAM [ARGUMENT...]
 *
 * Runs the program with a filter that makes these system calls fail, as a policy or an old kernel
 * does. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct name {
  const char *text;
  unsigned number;
} name;

static const name calls[] = {{"process_vm_readv", SYS_process_vm_readv},
                             {"ptrace", SYS_ptrace},
                             {"pwrite64", SYS_pwrite64},
                             {"renameat2", SYS_renameat2}};
static const name errors[] = {{"EINVAL", EINVAL}, {"ENOSPC", ENOSPC}, {"EPERM", EPERM}};

/* Finds the name that the text starts with, and returns what follows it. */
static const char *find(const name *names, size_t count, const char *text, unsigned *number) {
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(names[i].text);
    if (strncmp(names[i].text, text, length) == 0 &&
        (text[length] == '=' || text[length] == '\0')) {
      *number = names[i].number;
      return text + length;
    }
  }
  fprintf(stderr, "refuse: unknown: %s\n", text);
  _exit(2);
}

int main(int count, char **arguments) {
  enum { MOST = 8 };
  struct sock_filter filter[2 + 2 * MOST] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  unsigned short length = 1;
  int at = 1;
  for (; at < count && strcmp(arguments[at], "--") != 0 && at <= MOST; at++) {
    unsigned call = 0;
    unsigned error = 0;
    const char *behind = find(calls, sizeof calls / sizeof calls[0], arguments[at], &call);
    (void)find(errors, sizeof errors / sizeof errors[0], behind + (*behind == '='), &error);
    filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
  }
  if (at + 1 >= count) {
    return 2;
  }
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {length, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("refuse");
    return 77;
  }
  execvp(arguments[at + 1], arguments + at + 1);
  perror(arguments[at + 1]);
  return 2;
}
