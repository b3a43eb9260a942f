/* What is created for another process is created with that process's own rights, wherever its paths
 * lead, and the caller's rights are the same afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "locator_names.h"
#include "own_tmp.h"
#include "remote_linux.h"
#include "test.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static void need_users(void) {
  if (geteuid() != 0) {
    test_skip("needs two users");
  }
  want_own_tmp();
}

/* A process of a user without rights, which sees one of our directories as its /tmp. */
typedef struct stranger {
  pid_t middle;
  pid_t id;
} stranger;

/* A test that fails leaves nothing behind that would keep its output open. */
static pid_t inside_id;

static void end_with_the_test(int signal_number) {
  (void)signal_number;
  (void)kill(inside_id, SIGKILL);
  _exit(1);
}

static stranger start_stranger(const char *folder) {
  int ends[2];
  stranger what;
  CHECK(pipe(ends) == 0);
  what.middle = fork();
  CHECK(what.middle >= 0);
  if (what.middle == 0) {
    CHECK(unshare_mounts());
    kept_folder kept = open_own_folder();
    CHECK(folder == NULL || mount(folder, "/tmp", NULL, MS_BIND, NULL) == 0);
    CHECK(folder == NULL || put_own_folder_back(&kept));
    become_nobody();
    target inside = target_start_idle();
    inside_id = inside.id;
    CHECK(signal(SIGTERM, end_with_the_test) != SIG_ERR && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
    CHECK(write(ends[1], &inside.id, sizeof inside.id) == (ssize_t)sizeof inside.id);
    CHECK_EQUAL(inside.id, waitpid(inside.id, NULL, 0));
    _exit(0);
  }
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &what.id, sizeof what.id) == (ssize_t)sizeof what.id);
  close(ends[0]);
  return what;
}

static void end_stranger(const stranger *what) {
  int status;
  CHECK(kill(what->id, SIGTERM) == 0);
  CHECK_EQUAL(what->middle, waitpid(what->middle, &status, 0));
  CHECK_EQUAL(0, status);
}

/* ---- Nothing is made where the process could not make it ------------------------------------- */

static bool is_there(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

static void check_that_nothing_is_made(void) {
  CHECK(mkdir("/tmp/ours", 0755) == 0);
  stranger what = start_stranger("/tmp/ours");
  nearbuf_status status = get_in(what.id, NULL);
  CHECK(status == NEARBUF_SYSTEM_ERROR || status == NEARBUF_DENIED);
  CHECK(!is_there("/tmp/ours" SHARED_PARENT_IN_TMP));
  end_stranger(&what);
}

TEST(nothing_is_made_in_a_directory_of_ours_that_a_stranger_mounted) {
  need_users();
  check_that_nothing_is_made();
}

TEST(nothing_is_made_there_by_an_older_kernel_either) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  need_users();
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
  check_that_nothing_is_made();
}

/* The directory of another user, with a file of that user that a link leads to. */
TEST(the_files_of_other_users_stay_where_a_stranger_mounts_a_shared_directory) {
  need_users();
  CHECK(mkdir("/tmp/ours", 0755) == 0 && mkdir("/tmp/ours" SHARED_PARENT_IN_TMP, 0755) == 0);
  CHECK(mkdir("/tmp/ours" SHARED_DIRECTORY_IN_TMP, 0755) == 0);
  stranger what = start_stranger("/tmp/ours");
  nearbuf_status status = get_in(what.id, NULL);
  CHECK(status == NEARBUF_SYSTEM_ERROR || status == NEARBUF_DENIED);
  CHECK(rmdir("/tmp/ours" SHARED_DIRECTORY_IN_TMP) == 0); /* it is empty */
  end_stranger(&what);
}

static void check_link(const char *link_at, const char *leads_to) {
  char root[] = "/tmp/nearbuf.root.XXXXXX";
  char path[128];
  if (geteuid() != 0) {
    test_skip("needs the right to change the root");
  }
  want_own_tmp();
  CHECK(mkdtemp(root) != NULL && chdir(root) == 0);
  CHECK(mkdir("elsewhere", 01777) == 0 && mkdir("t", 01777) == 0);
  CHECK(strcmp(link_at, "tmp") == 0 || rename("t", "tmp") == 0);
  CHECK(symlink(leads_to, link_at) == 0 && chdir("/") == 0);
  target inside = target_start(REMOTE_TARGET, "idle", root);
  nearbuf_status status =
      get_in(inside.id, NULL); /* OK: it may have been created in another directory */
  CHECK(status == NEARBUF_SYSTEM_ERROR || status == NEARBUF_OK);
  (void)snprintf(path, sizeof path, "%s/elsewhere", root);
  CHECK(rmdir(path) == 0); /* it is empty */
  (void)target_end(&inside);
}

TEST(nothing_is_made_through_a_link_in_place_of_tmp) {
  check_link("tmp", "elsewhere");
}

TEST(nothing_is_made_through_a_link_below_tmp) {
  check_link("tmp/.reloaded", "../elsewhere");
}

/* ---- The caller ------------------------------------------------------------------------------ */

/* The caller's rights as /proc shows them. */
static void read_rights(char *text, size_t size) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  text[0] = '\0';
  while (fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "Uid:", 4) == 0 || strncmp(line, "Gid:", 4) == 0 ||
        strncmp(line, "Groups:", 7) == 0 || strncmp(line, "Cap", 3) == 0 ||
        strncmp(line, "SigBlk:", 7) == 0 || strncmp(line, "SigIgn:", 7) == 0) {
      strncat(text, line, size - strlen(text) - 1);
    }
  }
  fclose(status);
}

TEST(the_caller_keeps_its_rights_and_stays_dumpable) {
  char before[2048];
  char after[2048];
  need_users();
  stranger what = start_stranger(NULL);
  CHECK_EQUAL(1, prctl(PR_GET_DUMPABLE));
  int descriptors = target_files(&(target){.id = getpid()}, "fd");
  read_rights(before, sizeof before);
  CHECK_OK(get_in(what.id, NULL));
  read_rights(after, sizeof after);
  CHECK(strcmp(before, after) == 0);
  CHECK_EQUAL(1, prctl(PR_GET_DUMPABLE));
  CHECK_EQUAL(descriptors, target_files(&(target){.id = getpid()}, "fd"));
  CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == 0); /* no child is left but the test's own */
  end_stranger(&what);
}

/* A caller with only some capabilities, which is not the file's user, has sufficient rights all the
 * same. */
TEST(the_file_is_made_by_the_user_of_the_process_and_not_given_to_it) {
  need_users();
  CHECK(mkdir("/tmp/theirs", 0700) == 0 && chown("/tmp/theirs", 65534, 65534) == 0);
  stranger what = start_stranger("/tmp/theirs");
  CHECK_OK(get_in(what.id, NULL));
  struct stat status;
  CHECK(stat("/tmp/theirs" SHARED_PARENT_IN_TMP, &status) == 0);
  CHECK_EQUAL(65534, status.st_uid);
  CHECK_EQUAL(65534, status.st_gid);
  end_stranger(&what);
}
