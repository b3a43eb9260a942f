/* Programs that are blocked in a system call; see remote_blocked.c. The first argument names the
 * call. Without one, the names are listed, with what the call must return in the end. "ready"
 * first; when a line is read, a second thread produces what the call waits for; then the call's
 * result and errno. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 1 << 20, LIMIT_MS = 2000 };

static int in[2];      /* a pipe that is empty, */
static int out[2];     /* and one that is full */
static int sockets[2]; /* as are the directions of these, one each */
static int timed[2];   /* the same with time limits */
static pthread_t first;
static char bytes[LARGE];
static const struct timespec limit = {LIMIT_MS / 1000, LIMIT_MS % 1000 * 1000000L};
static uint32_t word;
static int object; /* the object that the call waits for */
static int other;
static char path[64];

static struct timespec later(clockid_t clock) {
  struct timespec end;
  clock_gettime(clock, &end);
  end.tv_sec += LIMIT_MS / 1000;
  return end;
}

/* ---- What comes ------------------------------------------------------------------------------ */

static void nothing(void) {
}

static void fill_pipe(void) {
  (void)!write(in[1], "x", 1);
}

/* Reads everything in the full pipe, and what follows. */
static void drain_pipe(void) {
  while (read(out[0], bytes, 4096) > 0) {
  }
}

static void fill_sockets(void) {
  (void)send(sockets[1], "x", 1, 0);
}

static void drain_sockets(void) {
  while (recv(sockets[1], bytes, 4096, 0) > 0) {
  }
}

static void send_signal(void) {
  pthread_kill(first, SIGUSR1);
}

static void wake(void) {
  word = 1;
  syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static long read_pipe(void) {
  return read(in[0], bytes, 1);
}

static long readv_pipe(void) {
  struct iovec to = {bytes, 1};
  return readv(in[0], &to, 1);
}

static long preadv2_pipe(void) {
  struct iovec to = {bytes, 1};
  return syscall(SYS_preadv2, in[0], &to, 1, -1L, -1L, 0); /* musl has no function for it */
}

static long read_eventfd(void) {
  object = eventfd(0, 0);
  return read(object, bytes, 8);
}

static void fill_eventfd(void) {
  uint64_t one = 1;
  (void)!write(object, &one, sizeof one);
}

static long read_timer(void) {
  struct itimerspec time = {{0, 0}, limit};
  object = timerfd_create(CLOCK_MONOTONIC, 0);
  timerfd_settime(object, 0, &time, NULL);
  return read(object, bytes, 8);
}

static long read_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  object = signalfd(-1, &set, 0);
  return read(object, bytes, sizeof(struct signalfd_siginfo)) > 0;
}

static long read_inotify(void) {
  object = inotify_init1(0);
  inotify_add_watch(object, path, IN_ATTRIB);
  return read(object, bytes, 4096) > 0;
}

static void touch(void) {
  (void)chmod(path, 0600);
}

static long write_pipe(void) {
  return write(out[1], bytes, 1);
}

static long writev_pipe(void) {
  struct iovec from = {bytes, 1};
  return writev(out[1], &from, 1);
}

static long write_large(void) {
  return write(out[1], bytes, LARGE);
}

static long write_large_to_empty(void) {
  return write(in[1], bytes, LARGE);
}

static void drain_other_pipe(void) {
  while (read(in[0], bytes, 4096) > 0) {
  }
}

static long splice_pipes(void) {
  other = open("/dev/null", O_WRONLY);
  return splice(in[0], NULL, other, NULL, 1, 0);
}

static long tee_pipes(void) {
  int to[2];
  (void)!pipe(to);
  return tee(in[0], to[1], 1, 0);
}

static long vmsplice_pipe(void) {
  struct iovec from = {bytes, 1};
  return vmsplice(out[1], &from, 1, 0);
}

static long sendfile_pipe(void) {
  int file = open(path, O_RDWR);
  (void)!write(file, "x", 1);
  lseek(file, 0, SEEK_SET);
  return sendfile(out[1], file, NULL, 1);
}

static long sendfile_timed(void) {
  int file = open(path, O_RDWR);
  (void)!write(file, "x", 1);
  lseek(file, 0, SEEK_SET);
  return sendfile(timed[0], file, NULL, 1);
}

static long splice_timed(void) {
  fill_pipe();
  return splice(in[0], NULL, timed[0], NULL, 1, 0);
}

static long read_socket(void) {
  return read(sockets[0], bytes, 1);
}

static long recv_all(void) {
  fill_sockets();
  return recv(sockets[0], bytes, 2, MSG_WAITALL);
}

static long recvfrom_timed(void) {
  return recv(timed[0], bytes, 1, 0);
}

static long read_timed(void) {
  return read(timed[0], bytes, 1);
}

static long recvmsg_timed(void) {
  struct iovec to = {bytes, 1};
  struct msghdr message = {.msg_iov = &to, .msg_iovlen = 1};
  return recvmsg(timed[0], &message, 0);
}

static long recvmmsg_timed(void) {
  struct iovec to = {bytes, 1};
  struct mmsghdr message = {{.msg_iov = &to, .msg_iovlen = 1}, 0};
  return recvmmsg(timed[0], &message, 1, 0, NULL);
}

static long send_socket(void) {
  return send(sockets[0], bytes, 1, 0);
}

static long send_large(void) {
  return send(sockets[0], bytes, LARGE, 0);
}

static long send_large_to_empty(void) {
  return send(sockets[1], bytes, LARGE, 0);
}

static void drain_other_sockets(void) {
  while (recv(sockets[0], bytes, 4096, 0) > 0) {
  }
}

static long sendto_timed(void) {
  return send(timed[0], bytes, 1, 0);
}

static long write_timed(void) {
  return write(timed[0], bytes, 1);
}

static long sendmsg_timed(void) {
  struct iovec from = {bytes, 1};
  struct msghdr message = {.msg_iov = &from, .msg_iovlen = 1};
  return sendmsg(timed[0], &message, 0);
}

static long sendmmsg_timed(void) {
  struct iovec from = {bytes, 1};
  struct mmsghdr message = {{.msg_iov = &from, .msg_iovlen = 1}, 0};
  return sendmmsg(timed[0], &message, 1, 0);
}

static socklen_t listen_here(struct sockaddr_un *address, int backlog) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  (void)snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "nearbuf-%d", (int)getpid());
  socklen_t size = (socklen_t)(sizeof address->sun_family + 1 + strlen(address->sun_path + 1));
  object = socket(AF_UNIX, SOCK_STREAM, 0);
  (void)!bind(object, (struct sockaddr *)address, size);
  listen(object, backlog);
  return size;
}

static long accept_one(void) {
  struct sockaddr_un address;
  (void)listen_here(&address, 1);
  return accept(object, NULL, NULL) >= 0;
}

static void connect_to_it(void) {
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  getsockname(object, (struct sockaddr *)&address, &size);
  other = socket(AF_UNIX, SOCK_STREAM, 0);
  (void)connect(other, (struct sockaddr *)&address, size);
}

static long accept_timed(void) {
  struct sockaddr_un address;
  struct timeval time = {LIMIT_MS / 1000, 0};
  (void)listen_here(&address, 1);
  setsockopt(object, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  return accept4(object, NULL, NULL, 0);
}

static long connect_one(void) {
  struct sockaddr_un address;
  socklen_t size = listen_here(&address, 0);
  (void)connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
}

static void accept_both(void) {
  (void)accept(object, NULL, NULL);
  (void)accept(object, NULL, NULL);
}

static long connect_timed(void) {
  struct sockaddr_un address;
  struct timeval time = {LIMIT_MS / 1000, 0};
  socklen_t size = listen_here(&address, 0);
  (void)connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
  int late = socket(AF_UNIX, SOCK_STREAM, 0);
  setsockopt(late, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  return connect(late, (struct sockaddr *)&address, size);
}

static long poll_pipe(void) {
  struct pollfd what = {in[0], POLLIN, 0};
  return poll(&what, 1, -1);
}

static long poll_timed(void) {
  return poll(NULL, 0, LIMIT_MS);
}

static long ppoll_pipe(void) {
  struct pollfd what = {in[0], POLLIN, 0};
  sigset_t none;
  sigemptyset(&none);
  return ppoll(&what, 1, NULL, &none);
}

static long ppoll_timed(void) {
  return ppoll(NULL, 0, &limit, NULL);
}

static long select_pipe(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(in[0], &set);
  return select(in[0] + 1, &set, NULL, NULL, NULL);
}

static long select_timed(void) {
  struct timeval time = {LIMIT_MS / 1000, 0};
  return select(0, NULL, NULL, NULL, &time);
}

static long pselect_timed(void) {
  sigset_t none;
  sigemptyset(&none);
  return pselect(0, NULL, NULL, NULL, &limit, &none);
}

static int events_of_pipe(void) {
  struct epoll_event event = {.events = EPOLLIN};
  int events = epoll_create1(0);
  epoll_ctl(events, EPOLL_CTL_ADD, in[0], &event);
  return events;
}

static long epoll_pipe(void) {
  struct epoll_event event;
  return epoll_wait(events_of_pipe(), &event, 1, -1);
}

static long epoll_timed(void) {
  struct epoll_event event;
  return epoll_wait(events_of_pipe(), &event, 1, LIMIT_MS);
}

static long epoll_pwait_pipe(void) {
  struct epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  return epoll_pwait(events_of_pipe(), &event, 1, -1, &none);
}

static long epoll_pwait2_timed(void) {
  struct epoll_event event;
  return syscall(441, events_of_pipe(), &event, 1, &limit, NULL, 8L);
}

static long sleep_nanosleep(void) {
  return nanosleep(&limit, NULL);
}

static long sleep_clock(void) {
  return clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, NULL);
}

static long sleep_until(void) {
  struct timespec end = later(CLOCK_MONOTONIC);
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

static long futex_wait(void) {
  return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long futex_timed(void) {
  return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, NULL, 0);
}

static long futex_until(void) {
  struct timespec end = later(CLOCK_MONOTONIC);
  return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &end, NULL, -1);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_mutex_t heir;

static void *hold_mutex(void *held) {
  char byte;
  pthread_mutex_lock(held);
  (void)!write(sockets[1], "x", 1);
  (void)!read(in[0], &byte, 1);
  pthread_mutex_unlock(held);
  return NULL;
}

static long lock_of_another(pthread_mutex_t *held) {
  pthread_t holder;
  char byte;
  pthread_create(&holder, NULL, hold_mutex, held);
  (void)!read(sockets[0], &byte, 1);
  return pthread_mutex_lock(held);
}

static long lock_mutex(void) {
  return lock_of_another(&mutex);
}

static long lock_heir(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&heir, &attributes);
  return lock_of_another(&heir);
}

static long condition_timed(void) {
  struct timespec end = later(CLOCK_REALTIME);
  pthread_mutex_lock(&mutex);
  return pthread_cond_timedwait(&condition, &mutex, &end);
}

static long wait_semaphore(void) {
  sem_init(&semaphore, 0, 0);
  return sem_wait(&semaphore);
}

static void post_semaphore(void) {
  sem_post(&semaphore);
}

static void *end_by_pipe(void *context) {
  (void)!read(in[0], bytes, 1);
  return context;
}

static long join_thread(void) {
  pthread_t joined;
  pthread_create(&joined, NULL, end_by_pipe, NULL);
  return pthread_join(joined, NULL);
}

static void remove_semaphores(void) {
  semctl(object, 0, IPC_RMID);
}

static long semop_down(void) {
  struct sembuf down = {0, -1, 0};
  object = semget(IPC_PRIVATE, 1, 0600);
  long result = semop(object, &down, 1);
  remove_semaphores();
  return result;
}

static void semop_up(void) {
  struct sembuf up = {0, 1, 0};
  semop(object, &up, 1);
}

static long semtimedop_down(void) {
  struct sembuf down = {0, -1, 0};
  object = semget(IPC_PRIVATE, 1, 0600);
  long result = semtimedop(object, &down, 1, &limit);
  int error = errno;
  remove_semaphores();
  errno = error;
  return result;
}

typedef struct message {
  long kind;
  char text[8];
} message;

static long receive_message(void) {
  message got;
  object = msgget(IPC_PRIVATE, 0600);
  long result = msgrcv(object, &got, 1, 0, 0);
  msgctl(object, IPC_RMID, NULL);
  return result;
}

static void send_message(void) {
  message sent = {1, "x"};
  msgsnd(object, &sent, 1, 0);
}

static long send_to_full_queue(void) {
  static struct {
    long kind;
    char text[8192];
  } large = {1, ""};
  object = msgget(IPC_PRIVATE, 0600);
  while (msgsnd(object, &large, sizeof large.text, IPC_NOWAIT) == 0) {
  }
  long result = msgsnd(object, &large, sizeof large.text, 0);
  msgctl(object, IPC_RMID, NULL);
  return result;
}

static void take_message(void) {
  static char taken[8200];
  (void)!msgrcv(object, taken, 8192, 0, 0);
}

static long receive_posix(void) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
  char name[32];
  (void)snprintf(name, sizeof name, "/nearbuf-%d", (int)getpid());
  object = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
  mq_unlink(name);
  return mq_receive(object, bytes, 8, NULL);
}

static void send_posix(void) {
  mq_send(object, "x", 1, 0);
}

static void block_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static long wait_for_signal(const struct timespec *time) {
  sigset_t set;
  block_signal();
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  return sigtimedwait(&set, NULL, time);
}

static long sigwait_any(void) {
  return wait_for_signal(NULL) == SIGUSR1;
}

static long sigwait_timed(void) {
  return wait_for_signal(&limit);
}

static long suspend(void) {
  sigset_t none;
  block_signal();
  sigemptyset(&none);
  return sigsuspend(&none);
}

static long child_of(long (*wait_for)(pid_t child)) {
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!read(in[0], bytes, 1);
    _exit(7);
  }
  return wait_for(child);
}

static long waitpid_7(pid_t child) {
  int status;
  return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

static long waitid_7(pid_t child) {
  siginfo_t info;
  return waitid(P_PID, (id_t)child, &info, WEXITED) == 0 ? info.si_status : -1;
}

static long wait_child(void) {
  return child_of(waitpid_7);
}

static long waitid_child(void) {
  return child_of(waitid_7);
}

static long lock_flock(void) {
  other = open(path, O_RDWR);
  object = open(path, O_RDWR);
  flock(other, LOCK_EX);
  return flock(object, LOCK_EX);
}

static void unlock_flock(void) {
  flock(other, LOCK_UN);
}

static long lock_open_file(void) {
  struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  other = open(path, O_RDWR);
  object = open(path, O_RDWR);
  fcntl(other, F_OFD_SETLK, &all);
  return fcntl(object, F_OFD_SETLKW, &all);
}

static void unlock_open_file(void) {
  struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  fcntl(other, F_OFD_SETLK, &all);
}

static const char *fifo(void) {
  static char name[80];
  (void)snprintf(name, sizeof name, "%s-fifo", path);
  (void)mkfifo(name, 0600);
  return name;
}

static long open_fifo(void) {
  return open(fifo(), O_RDONLY) >= 0;
}

static void open_other_end(void) {
  other = open(fifo(), O_RDWR);
  unlink(fifo());
}

static long open_fifo_to_write(void) {
  return open(fifo(), O_WRONLY) >= 0;
}

static long read_terminal(void) {
  object = posix_openpt(O_RDWR | O_NOCTTY);
  grantpt(object);
  unlockpt(object);
  other = open(ptsname(object), O_RDWR | O_NOCTTY);
  return read(other, bytes, 16);
}

static void type(void) {
  (void)!write(object, "x\n", 2);
}

static aio_context_t asynchronous;

static long io_getevents_one(void) {
  struct io_event event;
  syscall(SYS_io_setup, 4, &asynchronous);
  object = open(path, O_RDWR);
  (void)!write(object, "x", 1);
  return syscall(SYS_io_getevents, asynchronous, 1, 1, &event, NULL);
}

static void submit(void) {
  static struct iocb block;
  struct iocb *list[] = {&block};
  block.aio_fildes = (uint32_t)object;
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  block.aio_buf = (uintptr_t)bytes;
  block.aio_nbytes = 1;
  syscall(SYS_io_submit, asynchronous, 1, list);
}

static long io_getevents_timed(void) {
  struct io_event event;
  struct timespec time = limit;
  syscall(SYS_io_setup, 4, &asynchronous);
  return syscall(SYS_io_getevents, asynchronous, 1, 1, &event, &time);
}

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct blocked {
  const char *name;
  long (*call)(void);
  void (*come)(void);
  long result;
  int error;
} blocked;

static const blocked table[] = {
    {"read_pipe", read_pipe, fill_pipe, 1, 0},
    {"readv_pipe", readv_pipe, fill_pipe, 1, 0},
    {"preadv2_pipe", preadv2_pipe, fill_pipe, 1, 0},
    {"read_eventfd", read_eventfd, fill_eventfd, 8, 0},
    {"read_timerfd", read_timer, nothing, 8, 0},
    {"read_signalfd", read_signals, send_signal, 1, 0},
    {"read_inotify", read_inotify, touch, 1, 0},
    {"read_terminal", read_terminal, type, 2, 0},
    {"write_pipe", write_pipe, drain_pipe, 1, 0},
    {"writev_pipe", writev_pipe, drain_pipe, 1, 0},
    {"write_large_to_full_pipe", write_large, drain_pipe, LARGE, 0},
    {"write_large_to_empty_pipe", write_large_to_empty, drain_other_pipe, LARGE, 0},
    {"splice", splice_pipes, fill_pipe, 1, 0},
    {"tee", tee_pipes, fill_pipe, 1, 0},
    {"vmsplice", vmsplice_pipe, drain_pipe, 1, 0},
    {"sendfile", sendfile_pipe, drain_pipe, 1, 0},
    {"sendfile_timed", sendfile_timed, nothing, -1, EAGAIN},
    {"splice_timed", splice_timed, nothing, -1, EAGAIN},
    {"read_socket", read_socket, fill_sockets, 1, 0},
    {"recv_all", recv_all, fill_sockets, 2, 0},
    {"recvfrom_timed", recvfrom_timed, nothing, -1, EAGAIN},
    {"read_socket_timed", read_timed, nothing, -1, EAGAIN},
    {"recvmsg_timed", recvmsg_timed, nothing, -1, EAGAIN},
    {"recvmmsg_timed", recvmmsg_timed, nothing, -1, EAGAIN},
    {"send", send_socket, drain_sockets, 1, 0},
    {"send_large_to_full_socket", send_large, drain_sockets, LARGE, 0},
    {"send_large_to_empty_socket", send_large_to_empty, drain_other_sockets, LARGE, 0},
    {"sendto_timed", sendto_timed, nothing, -1, EAGAIN},
    {"write_socket_timed", write_timed, nothing, -1, EAGAIN},
    {"sendmsg_timed", sendmsg_timed, nothing, -1, EAGAIN},
    {"sendmmsg_timed", sendmmsg_timed, nothing, -1, EAGAIN},
    {"accept", accept_one, connect_to_it, 1, 0},
    {"accept4_timed", accept_timed, nothing, -1, EAGAIN},
    {"connect", connect_one, accept_both, 0, 0},
    {"connect_timed", connect_timed, nothing, -1, EAGAIN},
    {"poll", poll_pipe, fill_pipe, 1, 0},
    {"poll_timed", poll_timed, nothing, 0, 0},
    {"ppoll", ppoll_pipe, fill_pipe, 1, 0},
    {"ppoll_timed", ppoll_timed, nothing, 0, 0},
    {"select", select_pipe, fill_pipe, 1, 0},
    {"select_timed", select_timed, nothing, 0, 0},
    {"pselect_timed", pselect_timed, nothing, 0, 0},
    {"epoll_wait", epoll_pipe, fill_pipe, 1, 0},
    {"epoll_wait_timed", epoll_timed, nothing, 0, 0},
    {"epoll_pwait", epoll_pwait_pipe, fill_pipe, 1, 0},
    {"epoll_pwait2_timed", epoll_pwait2_timed, nothing, 0, 0},
    {"nanosleep", sleep_nanosleep, nothing, 0, 0},
    {"clock_nanosleep", sleep_clock, nothing, 0, 0},
    {"clock_nanosleep_until", sleep_until, nothing, 0, 0},
    {"futex", futex_wait, wake, 0, 0},
    {"futex_timed", futex_timed, nothing, -1, ETIMEDOUT},
    {"futex_until", futex_until, nothing, -1, ETIMEDOUT},
    {"mutex", lock_mutex, fill_pipe, 0, 0},
    {"mutex_with_inheritance", lock_heir, fill_pipe, 0, 0},
    {"condition_until", condition_timed, nothing, ETIMEDOUT, 0},
    {"semaphore", wait_semaphore, post_semaphore, 0, 0},
    {"join", join_thread, fill_pipe, 0, 0},
    {"semop", semop_down, semop_up, 0, 0},
    {"semtimedop", semtimedop_down, nothing, -1, EAGAIN},
    {"msgrcv", receive_message, send_message, 1, 0},
    {"msgsnd", send_to_full_queue, take_message, 0, 0},
    {"mq_receive", receive_posix, send_posix, 1, 0},
    {"sigwaitinfo", sigwait_any, send_signal, 1, 0},
    {"sigtimedwait", sigwait_timed, nothing, -1, EAGAIN},
    {"sigsuspend", suspend, send_signal, -1, EINTR},
    {"wait4", wait_child, fill_pipe, 7, 0},
    {"waitid", waitid_child, fill_pipe, 7, 0},
    {"flock", lock_flock, unlock_flock, 0, 0},
    {"lock_of_open_file", lock_open_file, unlock_open_file, 0, 0},
    {"open_fifo_to_read", open_fifo, open_other_end, 1, 0},
    {"open_fifo_to_write", open_fifo_to_write, open_other_end, 1, 0},
    {"io_getevents", io_getevents_one, submit, 1, 0},
    {"io_getevents_timed", io_getevents_timed, nothing, 0, 0},
};

static void (*coming)(void);

static void *wait_to_be_told(void *context) {
  char line[8];
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  if (fgets(line, sizeof line, stdin) != NULL) {
    coming();
  }
  return context;
}

static void on_signal(int ignored) {
  (void)ignored;
}

static void fill(int file, bool is_socket) {
  int flags = fcntl(file, F_GETFL);
  fcntl(file, F_SETFL, flags | O_NONBLOCK);
  while ((is_socket ? send(file, bytes, 4096, 0) : write(file, bytes, 4096)) > 0) {
  }
  while ((is_socket ? send(file, bytes, 1, 0) : write(file, bytes, 1)) > 0) {
  }
  fcntl(file, F_SETFL, flags);
}

static bool prepare(void) {
  struct timeval time = {LIMIT_MS / 1000, 0};
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  (void)snprintf(path, sizeof path, "/tmp/nearbuf-blocked-%d", (int)getpid());
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || pipe(in) != 0 || pipe(out) != 0 ||
      socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0 ||
      socketpair(AF_UNIX, SOCK_STREAM, 0, timed) != 0) {
    return false;
  }
  fill(out[1], false);
  fill(sockets[0], true);
  fill(timed[0], true);
  setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(timed[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  return true;
}

int main(int argc, char **argv) {
  pthread_t second;
  setvbuf(stdout, NULL, _IOLBF, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  first = pthread_self();
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    if (argc < 2) {
      printf("%s %ld %d\n", table[i].name, table[i].result, table[i].error);
    } else if (strcmp(argv[1], table[i].name) == 0 && prepare()) {
      coming = table[i].come;
      pthread_create(&second, NULL, wait_to_be_told, NULL);
      printf("ready\n");
      errno = 0;
      long result = table[i].call();
      int error = result < 0 ? errno : 0;
      printf("%ld %d\n", result, error);
      unlink(path);
      _exit(0);
    }
  }
  return argc < 2 ? 0 : 2;
}
