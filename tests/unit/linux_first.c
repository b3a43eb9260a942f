/* The first locator of an invented process: its anchor, its files, its map and what the system
 * refuses are what a test says. remote/linux/first.c is compiled here, with other names for what it
 * calls of the C library; the functions of the port that it calls are defined here. With real
 * processes it is tested by tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/posix/anchor.h"
#include "os/posix/files.h"
#include "refused.h"
#include "remote/linux/first.h"
#include "remote/linux/hidden.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/process.h"
#include "test.h"

/* ---- The process ----------------------------------------------------------------------------- */

#define PAGE UINT64_C(4096)
#define PLACE UINT64_C(0x20000000)
#define OTHER_PLACE UINT64_C(0x30000000)
#define HEADERS UINT64_C(0x10000000) /* headers are between this and four times as much */
enum {
  ID = 42,
  OWN_ID = 7,
  USER = 1000,
  NAMED = 9,
  MEMORY = 0, /* as good a descriptor as others */
  MAP = 400,
  ROOT = 0,
  FILES = 0, /* the second one is the next number */
  FOLDER = 300,
  OWNER = 5,
  DEVICE = 6,
  INODE = 50
};

typedef struct anchor {
  uint32_t index; /* of its place */
  uint32_t mark;  /* 0: there is no anchor */
  uint64_t word;
  uint32_t owner;
  int readable; /* of its two parts */
} anchor;

typedef struct named_file {
  int folder; /* in which it is; below 0: in none */
  mode_t mode;
  nearbuf_status status; /* of its examination */
} named_file;

static struct {
  anchor anchors[2];
  int memory_error;
  int map_error;
  int query_error; /* of a query of its map; below 0: it knows none */
  int queries;
  int memory_reads;
  int memory_opens;
  int held_memory; /* plus one; 0: it is not open for the rest of the call */
  int open_files;
  named_file files[2]; /* under the two names */
  nbuf_result opening[NBUF_FOLDERS];
  int examined;
  int kept_file; /* below 0: none */
  nbuf_remote_mapping map[2];
  int map_count;
  nbuf_result map_end;
  uint64_t headers[2]; /* the address that the page at PLACE, and that at OTHER_PLACE, names */
  nbuf_result reading;
  bool can_read_other; /* whatever that is */
  bool are_places_taken;
  uint64_t free_place; /* nevertheless; 0: none */
  nbuf_origin origin;
  ssize_t link_length;
  bool has_root;
  nbuf_identity identity;
  nbuf_result identifying;
  bool has_no_namespace; /* that is known */
  uint64_t owner;
  bool has_no_owner;
  bool runs_noted;
  int forgotten;
  nbuf_result hidden;
} it = {.files = {{.folder = -1}, {.folder = -1}},
        .kept_file = -1,
        .owner = OWNER,
        .has_root = true,
        .link_length = 4,
        .headers = {PLACE, OTHER_PLACE},
        .map_end = {NEARBUF_NOT_FOUND, 0},
        .identity = {.own_id = OWN_ID, .user = {.owner = USER}}};

static nearbuf_process peer = {.id = ID, .address_bits = 64};

int nbuf_linux_open(const nearbuf_process *process, const char *name, int flags) {
  CHECK(process == &peer && flags == O_RDONLY);
  if (strcmp(name, "maps") == 0) {
    it.open_files += it.map_error == 0;
    return failed_with(it.map_error) == 0 ? MAP : -1;
  }
  CHECK(strcmp(name, "mem") == 0);
  it.memory_opens++;
  it.open_files += it.memory_error == 0;
  return failed_with(it.memory_error) == 0 ? MEMORY : -1;
}

static ssize_t give(void *to, const void *from, size_t size, bool is_readable) {
  memcpy(to, from, size);
  return is_readable ? (ssize_t)size : (ssize_t)size - 1;
}

static ssize_t read_anchor_part(void *bytes, size_t size, uint64_t address) {
  it.memory_reads++;
  uint32_t width = peer.address_bits / 8;
  for (int i = 0; i < 2; i++) {
    const anchor *at = &it.anchors[i];
    const uint32_t narrow = (uint32_t)at->word;
    unsigned char words[12];
    memcpy(words, width == 4 ? (const void *)&narrow : &at->word, width);
    memcpy(words + width, &at->owner, sizeof at->owner);
    uint64_t place = nbuf_anchor_place(width, at->index);
    if (at->mark != 0 && address == place) {
      CHECK_EQUAL(sizeof at->mark, size);
      return give(bytes, &at->mark, size, at->readable > 0);
    }
    if (at->mark != 0 && address == place + nbuf_os_page_size()) {
      CHECK_EQUAL(width + sizeof at->owner, size);
      return give(bytes, words, size, at->readable > 1);
    }
  }
  return failed_with(EIO);
}

static long invented_syscall(long number, ...);

#define syscall invented_syscall
#include "os/linux/map_query.h"

/* The next mapping of its map, in which there are only anchors. */
static long invented_syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  int file = va_arg(arguments, int);
  unsigned request = (unsigned)va_arg(arguments, long);
  nbuf_map_query *query = va_arg(arguments, nbuf_map_query *);
  va_end(arguments);
  CHECK(number == SYS_ioctl && file == MAP && request == (unsigned)NBUF_MAP_QUERY);
  CHECK_EQUAL(sizeof *query, query->size);
  CHECK_EQUAL(NBUF_QUERY_COVERING_OR_NEXT, query->query_flags);
  it.queries++;
  uint64_t next = UINT64_MAX;
  for (int i = 0; i < 2; i++) {
    uint64_t place = nbuf_anchor_place(peer.address_bits / 8, it.anchors[i].index);
    bool is_above = it.anchors[i].mark != 0 && place + PAGE > query->query_address;
    next = is_above && place < next ? place : next;
  }
  query->start = next;
  return failed_with(it.query_error != 0 ? it.query_error : next == UINT64_MAX ? ENOENT : 0);
}

nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done) {
  CHECK(process == &peer && (address == PLACE || address == OTHER_PLACE));
  CHECK(size == 8 || size == peer.address_bits / 8);
  uint64_t wide = it.headers[address == OTHER_PLACE];
  uint32_t narrow = (uint32_t)wide;
  memset(bytes, 0, size);
  memcpy(bytes, peer.address_bits == 32 ? (const void *)&narrow : &wide,
         peer.address_bits == 32 ? 4 : 8);
  *done = size;
  return address == OTHER_PLACE && it.can_read_other ? nbuf_result_of(NEARBUF_OK) : it.reading;
}

uint64_t nbuf_locator_file_address(const unsigned char *header, uint32_t bits) {
  uint64_t wide;
  uint32_t narrow;
  CHECK_EQUAL(peer.address_bits, bits);
  memcpy(&narrow, header, sizeof narrow);
  if (bits == 32) {
    return narrow;
  }
  memcpy(&wide, header, sizeof wide);
  return wide;
}

/* ---- Its files ------------------------------------------------------------------------------- */

bool nbuf_identity_name(const nearbuf_process *process, const nbuf_identity *identity, int index,
                        nbuf_name *name) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  memcpy(name->text, index == 0 ? "0" : "1", 2);
  return index < (it.has_no_namespace ? 1 : 2);
}

nbuf_user nbuf_identity_user(const nearbuf_process *process, const nbuf_identity *identity) {
  CHECK(process == &peer);
  return (nbuf_user){.owner = identity->user.owner, .named = NAMED};
}

nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         int *directory) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  bool is_open = it.opening[folder].status == NEARBUF_OK;
  it.open_files += is_open;
  *directory = is_open ? FOLDER + (int)folder : -1;
  return it.opening[folder];
}

int nbuf_locator_file_open(int directory, const char *name, uint64_t user, struct stat *status) {
  int index = name[0] - '0';
  CHECK(user == USER && (index == 0 || index == 1));
  if (it.files[index].folder != directory - FOLDER) {
    return -1;
  }
  it.open_files++;
  memset(status, 0, sizeof *status);
  status->st_mode = it.files[index].mode;
  return FILES + index;
}

nbuf_result nbuf_locator_file_examine(const nearbuf_process *process, int file,
                                      const struct stat *status, uint64_t *address,
                                      nbuf_remote_mapping *theirs) {
  CHECK_EQUAL(it.files[file - FILES].mode, status->st_mode);
  CHECK(process == &peer && (file == FILES || file == FILES + 1));
  it.examined++;
  *address = file == FILES ? PLACE : OTHER_PLACE;
  theirs->inode = INODE + (uint64_t)file;
  return nbuf_result_of(it.files[file - FILES].status);
}

void nbuf_locator_file_keep(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                            uint64_t address, int file, const struct stat *status) {
  CHECK_EQUAL(it.files[file - FILES].mode, status->st_mode);
  CHECK(process == &peer && theirs->inode == INODE + (uint64_t)file);
  CHECK_EQUAL(file == FILES ? PLACE : OTHER_PLACE, address);
  it.kept_file = file;
  it.open_files--;
}

static void invented_close(int file) {
  CHECK(file == MEMORY || file == MAP || file == FILES + 1 || file == FOLDER || file == FOLDER + 1);
  it.open_files--;
}

/* ---- Its map --------------------------------------------------------------------------------- */

static bool is_anchors_place(uint64_t address) {
  for (uint32_t i = 0; nbuf_anchor_place(peer.address_bits / 8, i) != 0; i++) {
    if (nbuf_anchor_place(peer.address_bits / 8, i) == address) {
      return true;
    }
  }
  return false;
}

nbuf_result nbuf_linux_mapping_at(const nearbuf_process *process, uint64_t address,
                                  nbuf_remote_mapping *mapping) {
  CHECK(process == &peer);
  for (int i = 0; i < it.map_count; i++) {
    if (it.map[i].info.min <= address && address <= it.map[i].info.max) {
      *mapping = it.map[i];
      return nbuf_result_of(NEARBUF_OK);
    }
  }
  bool is_taken = is_anchors_place(address) && it.are_places_taken && address != it.free_place;
  return nbuf_result_of(is_taken ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

nbuf_result nbuf_linux_find_mapping(const nearbuf_process *process,
                                    bool (*matches)(const nbuf_remote_mapping *mapping,
                                                    const void *context),
                                    const void *context, nbuf_remote_mapping *mapping) {
  CHECK(process == &peer);
  *mapping = (nbuf_remote_mapping){0};
  for (int i = 0; i < it.map_count; i++) {
    *mapping = it.map[i];
    if (matches(mapping, context)) {
      return nbuf_result_of(NEARBUF_OK);
    }
  }
  return it.map_end;
}

bool nbuf_is_locator_mapping(const nbuf_remote_mapping *mapping) {
  return mapping->info.is_shared == 1;
}

int nbuf_identity_open_root(const nearbuf_process *process) {
  CHECK(process == &peer);
  it.open_files += it.has_root;
  return it.has_root ? ROOT : -1;
}

static ssize_t invented_readlinkat(const char *name, char *text, size_t size) {
  CHECK(strcmp(name, "root") == 0);
  CHECK_EQUAL(255, size);
  (void)snprintf(text, size, "/abc");
  memset(text + 4, 'x', size - 4); /* the system appends no zero */
  return it.link_length;
}

static nbuf_path invented_path_of_temporary(int root, const char *prefix) {
  nbuf_path path = {"/somewhere/tmp"};
  CHECK(root == (it.has_root ? ROOT : -1));
  CHECK(strlen(prefix) == (it.link_length > 0 ? (size_t)it.link_length : 0));
  CHECK(memcmp(prefix, "/abc", strlen(prefix)) == 0);
  return path;
}

static nbuf_origin invented_origin(const char *path, size_t room, int64_t process, nbuf_user user,
                                   const nbuf_path *temporary) {
  CHECK(room == 128 && process == OWN_ID && user.owner == USER && user.named == NAMED);
  CHECK(strcmp(path, "/a/name") == 0 && strcmp(temporary->text, "/somewhere/tmp") == 0);
  return it.origin;
}

static void map_locator(uint64_t address) {
  it.map[it.map_count++] = (nbuf_remote_mapping){
      .info = {.min = address, .max = address + PAGE - 1, .is_shared = 1, .name = "/a/name"},
      .device = DEVICE,
      .inode = INODE};
}

/* ---- What else is known of it ---------------------------------------------------------------- */

nbuf_result nbuf_identify(const nearbuf_process *process, nbuf_identity *identity) {
  CHECK(process == &peer);
  *identity = it.identity;
  return it.identifying;
}

bool nbuf_linux_owner(const nearbuf_process *process, uint64_t *owner) {
  CHECK(process == &peer);
  *owner = it.owner;
  return !it.has_no_owner;
}

bool nbuf_linux_runs_noted_program(const nearbuf_process *process) {
  CHECK(process == &peer);
  return it.runs_noted;
}

void nbuf_linux_forget_locators(nearbuf_process *process) {
  process->reserved[NBUF_KEPT_FIRST] = 0;
  it.forgotten++;
}

nbuf_result nbuf_hidden_first(const nearbuf_process *process, const nbuf_identity *identity,
                              uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  CHECK(process == &peer);
  CHECK_EQUAL(OWN_ID, identity->own_id);
  *address = PLACE + 1;
  *dialect_if_empty = NEARBUF_DIALECT_DOTNET;
  return it.hidden;
}

int nbuf_linux_directory(const nearbuf_process *process) {
  CHECK(process == &peer);
  return FOLDER;
}

int nbuf_linux_memory(const nearbuf_process *process) {
  CHECK(process == &peer);
  return it.held_memory - 1;
}

#undef pread64
#define pread64(file, bytes, size, address)                                                        \
  ((void)(file), read_anchor_part(bytes, size, (uint64_t)(address)))
#define close(file) invented_close(file)
#define readlinkat(directory, name, text, size) invented_readlinkat(name, text, size)
#define nbuf_path_of_temporary(root, prefix) invented_path_of_temporary(root, prefix)
#define nbuf_path_origin(path, room, process, user, temporary)                                     \
  invented_origin(path, room, process, user, temporary)
#include "remote/linux/first.c" /* NOLINT(bugprone-suspicious-include) */

static uint64_t found;
static nearbuf_dialect dialect;

static void check_result(nearbuf_status status, int error) {
  found = 1;
  dialect = NEARBUF_DIALECT_UNKNOWN;
  nbuf_result result = nbuf_remote_first(&peer, &found, &dialect);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(error, result.system_error);
  CHECK_EQUAL(0, it.open_files);
}

static void check_found(uint64_t address, nearbuf_dialect expected) {
  check_result(NEARBUF_OK, 0);
  CHECK_EQUAL(address, found);
  CHECK_EQUAL(expected, dialect);
}

/* ---- By the anchor --------------------------------------------------------------------------- */

static anchor *set_anchor(uint32_t index, uint64_t word) {
  it.anchors[0] =
      (anchor){.index = index, .mark = NBUF_ANCHOR_WIPED, .word = word, .owner = 1, .readable = 3};
  return &it.anchors[0];
}

TEST(the_anchor_at_any_of_its_places_leads_to_the_locator) {
  for (uint32_t i = 0; nbuf_anchor_place(8, i) != 0; i++) {
    (void)set_anchor(i, PLACE | NEARBUF_DIALECT_RUST << 1 | NBUF_ANCHOR_PRIVATE);
    check_found(PLACE, NEARBUF_DIALECT_RUST);
  }
  CHECK_EQUAL(PLACE, peer.reserved[NBUF_KEPT_FIRST]);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, peer.reserved[NBUF_KEPT_DIALECT]);
  CHECK_EQUAL(OWNER, peer.reserved[NBUF_KEPT_OWNER]);
  CHECK_EQUAL(0, it.examined);
}

TEST(the_anchor_of_a_narrow_process_has_a_narrow_word) {
  peer.address_bits = 32;
  (void)set_anchor(0, PLACE | NEARBUF_DIALECT_DOTNET << 1);
  check_found(PLACE, NEARBUF_DIALECT_DOTNET);
}

TEST(of_two_anchors_the_one_that_holds_a_word_counts) {
  it.anchors[1] = (anchor){1, NBUF_ANCHOR_WIPED, PLACE, 1, 3};
  (void)set_anchor(0, 0);
  for (int width = 32; width <= 64; width += 32) {
    peer.address_bits = (uint32_t)width;
    check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  }
  (void)set_anchor(0, OTHER_PLACE);
  check_found(OTHER_PLACE, NEARBUF_DIALECT_UNKNOWN);
}

TEST(a_process_without_an_anchor_has_none_that_is_found) {
  uint64_t address = 1;
  nbuf_result result = nbuf_first_by_anchor(&peer, &it.identity, &address, &dialect);
  CHECK_STATUS(NEARBUF_NOT_FOUND, result.status);
  CHECK_EQUAL(0, address);
}

TEST(an_inherited_anchor_counts_for_its_owner_alone) {
  anchor *at = set_anchor(0, PLACE);
  at->mark = NBUF_ANCHOR_ABSENT;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  at->mark = NBUF_ANCHOR_INHERITED;
  check_result(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, found);
  at->owner = OWN_ID;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
}

TEST(what_is_not_whole_is_no_anchor) {
  anchor *at = set_anchor(0, PLACE);
  at->mark = NBUF_ANCHOR_WIPED - 1;
  check_result(NEARBUF_NOT_FOUND, 0);
  at->mark = NBUF_ANCHOR_ABSENT + 1;
  check_result(NEARBUF_NOT_FOUND, 0);
  at->mark = NBUF_ANCHOR_WIPED;
  for (int width = 32; width <= 64; width += 32) {
    peer.address_bits = (uint32_t)width;
    for (at->readable = 0; at->readable < 2; at->readable++) {
      check_result(NEARBUF_NOT_FOUND, 0);
    }
    check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  }
  it.memory_error = EACCES;
  check_result(NEARBUF_NOT_FOUND, 0);
}

static int count_places(uint32_t width) {
  int places = 0;
  while (nbuf_anchor_place(width, (uint32_t)places) != 0) {
    places++;
  }
  return places;
}

TEST(places_that_the_map_shows_to_be_free_are_not_read) {
  check_result(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, it.memory_reads);
  int places = count_places(peer.address_bits / 8);
  CHECK(it.queries > 0 && it.queries <= places / 4); /* one for each row of them */
  (void)set_anchor(2, PLACE);
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  CHECK_EQUAL(2, it.memory_reads);
}

TEST(where_the_map_tells_nothing_each_place_is_read) {
  int places = count_places(8);
  it.query_error = ENOTTY;
  check_result(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(places, it.memory_reads);
  CHECK_EQUAL(1, it.queries);
  it.map_error = EMFILE;
  check_result(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(2 * places, it.memory_reads);
  CHECK_EQUAL(1, it.queries);
}

TEST(memory_that_is_open_for_the_call_is_read_and_stays_open) {
  it.held_memory = MEMORY + 1;
  (void)set_anchor(3, PLACE);
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  CHECK_EQUAL(0, it.memory_opens);
}

/* Another implementation took the page for its own, at another mapping of it. */
TEST(a_page_that_names_another_mapping_of_itself_is_there) {
  (void)set_anchor(0, PLACE);
  map_locator(PLACE);
  map_locator(OTHER_PLACE);
  it.headers[0] = OTHER_PLACE;
  check_found(OTHER_PLACE, NEARBUF_DIALECT_UNKNOWN);
}

TEST(a_page_that_names_what_is_no_mapping_of_itself_stays_where_it_is) {
  (void)set_anchor(0, PLACE);
  map_locator(PLACE);
  it.headers[0] = OTHER_PLACE;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN); /* nothing is there */
  map_locator(OTHER_PLACE);
  nbuf_remote_mapping *there = &it.map[1];
  const nbuf_remote_mapping right = *there;
  for (int i = 0; i < 7; i++) {
    *there = right;
    it.map[0].inode = INODE;
    it.headers[0] = OTHER_PLACE;
    switch (i) {
    case 0:
      there->info.is_shared = 0;
      break;
    case 1:
      there->info.min--;
      break;
    case 2:
      there->info.file_offset = PAGE;
      break;
    case 3:
      there->device++;
      break;
    case 4:
      there->inode++;
      break;
    case 5:
      there->inode = it.map[0].inode = 0;
      break;
    default:
      it.headers[0] = 0; /* even if it is mapped there */
      there->info.min = 0;
      there->info.max = PAGE - 1;
      break;
    }
    check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  }
  *there = right;
  it.headers[0] = OTHER_PLACE;
  it.map[0].info.min++; /* and itself is not mapped any more */
  it.map[0].info.max++;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
}

/* ---- By its name ----------------------------------------------------------------------------- */

TEST(the_file_under_the_usual_name_is_found_and_kept) {
  it.files[0].folder = 0;
  check_found(PLACE, NEARBUF_DIALECT_DOTNET);
  CHECK_EQUAL(FILES, it.kept_file);
  CHECK_EQUAL(PLACE, peer.reserved[NBUF_KEPT_FIRST]);
  it.files[0].mode = S_IXUSR;
  check_found(PLACE, NEARBUF_DIALECT_RUST);
  it.files[0].mode = ~(mode_t)S_IXUSR;
  check_found(PLACE, NEARBUF_DIALECT_DOTNET);
}

TEST(the_second_name_is_looked_under_where_the_first_one_is_anothers) {
  it.files[0].folder = it.files[1].folder = 0;
  it.files[0].status = NEARBUF_NOT_FOUND;
  check_found(OTHER_PLACE, NEARBUF_DIALECT_DOTNET);
  CHECK_EQUAL(FILES + 1, it.kept_file);
  it.has_no_namespace = true;
  check_result(NEARBUF_NOT_FOUND, 0);
}

TEST(the_users_own_folder_is_looked_into_whatever_the_shared_one_is) {
  static const nearbuf_status states[] = {NEARBUF_OK, NEARBUF_NOT_FOUND, NEARBUF_DENIED};
  it.files[0].folder = 1;
  for (int i = 0; i < 3; i++) {
    it.opening[0] = nbuf_result_of(states[i]);
    check_found(PLACE, NEARBUF_DIALECT_DOTNET);
  }
}

/* ---- Hidden processes ------------------------------------------------------------------------ */

TEST(of_a_process_that_hides_everything_our_own_folders_tell) {
  peer.address_bits = 0;
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  check_found(PLACE + 1, NEARBUF_DIALECT_DOTNET);
  CHECK_EQUAL(0, peer.reserved[NBUF_KEPT_FIRST]); /* it cannot be checked */
  CHECK_EQUAL(0, it.memory_opens);
  it.hidden = nbuf_result_system(NEARBUF_DENIED, EPERM);
  check_result(NEARBUF_DENIED, EPERM);
  it.opening[0] = nbuf_result_of(NEARBUF_NOT_FOUND);
  it.opening[1] = nbuf_result_of(NEARBUF_DENIED); /* the first one decides */
  check_result(NEARBUF_NOT_FOUND, 0);
  peer.address_bits = 64;
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  check_result(NEARBUF_NOT_FOUND, 0);
}

/* ---- By the memory map ----------------------------------------------------------------------- */

TEST(a_locator_without_a_name_is_found_by_its_mapping) {
  map_locator(OTHER_PLACE);
  map_locator(PLACE);
  it.headers[1] = PLACE; /* no locator */
  it.origin = NBUF_ORIGIN_DIRECTORY;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  CHECK_EQUAL(PLACE, peer.reserved[NBUF_KEPT_FIRST]);
  it.map[1].info.file_offset = PAGE;
  check_result(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, found);
  it.map[1].info.file_offset = 0;
  it.map[1].info.is_shared = 0;
  check_result(NEARBUF_NOT_FOUND, 0);
}

TEST(names_in_memory_are_believed_where_no_anchor_can_be) {
  map_locator(PLACE);
  it.origin = NBUF_ORIGIN_MEMORY;
  check_result(NEARBUF_NOT_FOUND, 0);
  it.are_places_taken = true;
  for (uint32_t width = 4; width <= 8; width += 4) {
    peer.address_bits = width * 8;
    check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
    for (uint32_t i = 0; (it.free_place = nbuf_anchor_place(width, i)) != 0; i++) {
      check_result(NEARBUF_NOT_FOUND, 0);
    }
  }
  it.origin = NBUF_ORIGIN_OTHER;
  check_result(NEARBUF_NOT_FOUND, 0);
}

TEST(its_root_may_be_unknown) {
  map_locator(PLACE);
  it.origin = NBUF_ORIGIN_DIRECTORY;
  it.has_root = false;
  it.link_length = -1;
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
  it.link_length = 1; /* the usual one */
  check_found(PLACE, NEARBUF_DIALECT_UNKNOWN);
}

TEST(a_candidate_that_cannot_be_read_is_not_known_to_be_none) {
  map_locator(PLACE);
  it.origin = NBUF_ORIGIN_DIRECTORY;
  it.reading = nbuf_result_system(NEARBUF_DENIED, EPERM);
  check_result(NEARBUF_DENIED, EPERM);
  CHECK_EQUAL(0, found);
  it.map_end = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_result(NEARBUF_OUT_OF_MEMORY, EMFILE);
  it.map_end = nbuf_result_of(NEARBUF_NOT_FOUND);
  it.reading = nbuf_result_of(NEARBUF_NOT_MAPPED); /* it has just gone */
  check_result(NEARBUF_NOT_FOUND, 0);
}

TEST(it_is_not_known_either_where_another_candidate_is_none) {
  map_locator(PLACE);
  map_locator(OTHER_PLACE);
  it.origin = NBUF_ORIGIN_DIRECTORY;
  it.reading = nbuf_result_system(NEARBUF_DENIED, EPERM);
  it.headers[1] = PLACE;
  it.can_read_other = true;
  check_result(NEARBUF_DENIED, EPERM);
}

TEST(a_process_that_is_not_identified_has_no_known_locator) {
  it.files[0].folder = 0;
  it.identifying = nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  check_result(NEARBUF_NOT_FOUND, ESRCH);
  set_anchor(0, PLACE)->mark = NBUF_ANCHOR_INHERITED;
  it.anchors[0].owner = OWN_ID;
  check_result(NEARBUF_NOT_FOUND, ESRCH);
}

/* ---- Kept ------------------------------------------------------------------------------------ */

static void keep(void) {
  peer.reserved[NBUF_KEPT_FIRST] = PLACE;
  peer.reserved[NBUF_KEPT_DIALECT] = NEARBUF_DIALECT_RUST;
  peer.reserved[NBUF_KEPT_OWNER] = OWNER;
  it.headers[0] = PLACE;
  it.runs_noted = true;
  it.owner = OWNER;
  it.has_no_owner = false;
  it.forgotten = 0;
}

static void check_looked_for(bool is_looked_for) {
  check_found(PLACE, is_looked_for ? NEARBUF_DIALECT_DOTNET : NEARBUF_DIALECT_RUST);
  CHECK_EQUAL(is_looked_for, it.forgotten);
}

TEST(a_kept_locator_is_looked_for_again_if_anything_has_changed) {
  it.files[0].folder = 0;
  for (int i = 0; i < 8; i++) {
    keep();
    it.runs_noted = i != 1 && i != 7;
    it.held_memory = i == 7; /* the call has checked it */
    it.owner += i == 2;
    it.has_no_owner = i == 3;
    it.headers[0] += i == 4;
    it.reading = nbuf_result_of(i == 5 ? NEARBUF_NOT_MAPPED : NEARBUF_OK);
    peer.reserved[NBUF_KEPT_FIRST] = i == 6 ? 0 : PLACE;
    check_looked_for(i != 0 && i != 7);
  }
}

TEST(nothing_is_kept_of_a_process_whose_owner_is_unknown) {
  it.has_no_owner = true;
  nbuf_first_keep(&peer, PLACE, NEARBUF_DIALECT_RUST);
  CHECK_EQUAL(0, peer.reserved[NBUF_KEPT_FIRST]);
}
