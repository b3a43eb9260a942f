/* Other processes on Windows: handles, sections and their names, what a process has to do with it
 * itself. What every system has is in ../process. */
#include <string.h>

#include <windows.h>

#include <aclapi.h>

#include "base/format.h"
#include "locator_names.h"
#include "os/windows/sections.h"
#include "remote_windows.h"
#include "test.h"

static const char *ask_to_hold(target *user, const nearbuf_process_request *request) {
  char question[96];
  (void)snprintf(question, sizeof question, "hold 0x%llx 0x%llx\n",
                 (unsigned long long)request->min, (unsigned long long)request->max);
  return ask(user, question);
}

/* ---- Handles --------------------------------------------------------------------------------- */

TEST(an_id_means_no_process_once_its_process_has_ended_although_its_handle_is_open) {
  target idle = target_start_idle();
  nearbuf_process before = target_open(&idle);
  nearbuf_process process;
  CHECK(TerminateProcess(idle.handle, 1));
  CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(idle.handle, INFINITE));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open(idle.id, &process));
  CHECK_EQUAL(0, process.id);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_check(&before));
  CHECK_OK(nearbuf_process_close(&before));
}

TEST(what_is_no_id_is_not_found) {
  nearbuf_process process;
  target idle = target_start_idle();
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open((int64_t)idle.id + 1, &process));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open((int64_t)1 << 40, &process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(0, &process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(1, NULL));
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(a_process_is_described) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_info info;
  char user[64];
  DWORD size = sizeof user;
  CHECK(GetUserNameA(user, &size));
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(idle.id, info.id);
  CHECK_EQUAL(sizeof(void *) * 8, info.address_bits);
  CHECK(strcmp("nearbuf_remote_target.exe", info.name) == 0);
  CHECK(strcmp(user, info.user_name) == 0);
  CHECK_OK(nearbuf_process_close(&process));
  CHECK_EQUAL(0, target_end(&idle));
}

/* Leaves all users one right to a process, and removes all others. */
static void leave(const target *what, DWORD rights) {
  SID_IDENTIFIER_AUTHORITY world = {SECURITY_WORLD_SID_AUTHORITY};
  PSID everyone;
  _Alignas(8) unsigned char list[256];
  SECURITY_DESCRIPTOR descriptor;
  CHECK(AllocateAndInitializeSid(&world, 1, SECURITY_WORLD_RID, 0, 0, 0, 0, 0, 0, 0, &everyone));
  CHECK(InitializeAcl((ACL *)(void *)list, sizeof list, ACL_REVISION));
  CHECK(AddAccessAllowedAce((ACL *)(void *)list, ACL_REVISION, rights, everyone));
  CHECK(InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION));
  CHECK(SetSecurityDescriptorDacl(&descriptor, TRUE, (ACL *)(void *)list, FALSE));
  CHECK(SetKernelObjectSecurity(what->handle, DACL_SECURITY_INFORMATION, &descriptor));
}

TEST(a_process_that_refuses_everything_is_denied) {
  target idle = target_start_idle();
  nearbuf_process process;
  leave(&idle, SYNCHRONIZE);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_open(idle.id, &process));
  CHECK_EQUAL(ERROR_ACCESS_DENIED, process.system_error);
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(a_process_that_may_only_be_looked_at_is_not_changed) {
  target user = start_user();
  uint64_t placed = ask_address(&user, "place 10\n");
  leave(&user, PROCESS_QUERY_INFORMATION | PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_VM_READ |
                   SYNCHRONIZE);
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_buffer buffer;
  nearbuf_process_request request = anywhere(10);
  uint64_t address;
  char byte;
  CHECK_EQUAL(ask_address(&user, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_OK(nearbuf_process_read(&process, placed, &byte, 1, NULL));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_write(&process, placed, "x", 1, NULL));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(a_locator_that_is_private_to_its_process_is_read_and_not_written) {
  target user = start_user();
  for (int i = 0; i < NBUF_SECTION_NAMES; i++) {
    nbuf_section_name name = nbuf_section_name_of_first(i, (uint32_t)user.id, user.handle);
    CHECK(CreateMutexW(NULL, FALSE, name.text) != NULL);
  }
  CHECK(ask_address(&user, "place 10\n") != 0);
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_buffer buffer;
  nearbuf_process_request request = anywhere(10);
  CHECK_EQUAL(ask_address(&user, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  CHECK_OK(nearbuf_process_close(&process));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(a_process_that_tells_only_its_name_is_denied_beyond_that) {
  target idle = target_start_idle();
  leave(&idle, PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE);
  nearbuf_process process = target_open(&idle);
  nearbuf_process_info info;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  char byte;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK(strcmp("nearbuf_remote_target.exe", info.name) == 0);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_read(&process, 0x10000, &byte, 1, NULL));
  CHECK_EQUAL(0, target_end(&idle));
}

/* ---- Sections -------------------------------------------------------------------------------- */

TEST(the_name_of_a_locator_that_we_made_lives_as_long_as_its_process) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  CHECK(!has_section(&idle, ""));
  (void)put(&process, "hello", 5);
  CHECK_OK(nearbuf_process_close(&process));
  CHECK(has_section(&idle, ""));
  target ended = idle;
  CHECK_EQUAL(0, target_end(&idle));
  CHECK(!has_section(&ended, ""));
}

TEST(the_process_itself_uses_the_locator_that_we_made) {
  target user = start_user();
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "hello", 5);
  uint64_t first = first_locator(&process, &walk, &locator);
  CHECK_EQUAL(address + 16, ask_address(&user, "place 10\n"));
  CHECK_EQUAL(first, ask_address(&user, "first\n"));
  CHECK_EQUAL(address + 32, put(&process, "again", 5));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(we_use_the_locator_that_the_process_made) {
  target user = start_user();
  uint64_t placed = ask_address(&user, "place 10\n");
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  CHECK_EQUAL(placed + 16, put(&process, "hello", 5));
  CHECK_EQUAL(ask_address(&user, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_EQUAL(1, locator.is_shared);
  CHECK_EQUAL(0, target_end(&user));
}

TEST(the_process_and_we_keep_each_other_out_of_a_buffer) {
  target user = start_user();
  nearbuf_process process = target_open(&user);
  nearbuf_process_request request = anywhere(16);
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  /* Nothing else lies in the range, and nothing can be made there. */
  request.min = buffer.address;
  request.max = buffer.address + buffer.size - 1;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK(strcmp("NEARBUF_NO_ROOM", ask_to_hold(&user, &request)) == 0);
  uint64_t address;
  CHECK_OK(nearbuf_process_append(&process, &buffer, "x", 1, &address));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK_EQUAL(request.min, strtoull(ask_to_hold(&user, &request), NULL, 0));
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_get(&process, &request, &buffer));
  CHECK(strcmp("NEARBUF_OK", ask(&user, "release\n")) == 0);
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(where_another_process_has_the_name_the_one_with_the_creation_time_is_used) {
  target user = start_user();
  char name[96];
  (void)snprintf(name, sizeof name, "/" LOCATOR_PREFIX "%u", (unsigned)user.id);
  HANDLE section =
      CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, 65536, name);
  CHECK(section != NULL);
  unsigned char *squatted = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
  CHECK(squatted != NULL);
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "hello", 5);
  FILETIME created;
  FILETIME unused;
  CHECK(GetProcessTimes(user.handle, &created, &unused, &unused, &unused));
  char suffix[32];
  (void)snprintf(suffix, sizeof suffix, ", T %llx",
                 (unsigned long long)created.dwHighDateTime << 32 | created.dwLowDateTime);
  CHECK(has_section(&user, suffix));
  for (int i = 0; i < 65536; i++) {
    CHECK_EQUAL(0, squatted[i]);
  }
  CHECK_EQUAL(address + 16, ask_address(&user, "place 10\n"));
  CHECK_EQUAL(ask_address(&user, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(a_locator_without_a_name_is_found_in_the_map_and_can_only_be_read) {
  target user = start_user();
  uint64_t nameless = ask_address(&user, "nameless\n");
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  nearbuf_process_buffer buffer;
  nearbuf_process_request request = anywhere(10);
  CHECK_EQUAL(nameless, first_locator(&process, &walk, &locator));
  CHECK(locator.fault == NULL);
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(nameless + NBUF_LOCATOR_SIZE, item.address);
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  CHECK_EQUAL(0, target_end(&user));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

TEST(memory_is_freed_as_it_was_allocated_and_not_in_parts) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(100000);
  uint64_t address;
  uint64_t size;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK_EQUAL(131072, size);
  CHECK_OK(nearbuf_process_write(&process, address, "hello", 5, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, address, 65536));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, address + 65536, 65536));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_free(&process, address, 100000));
  CHECK_OK(nearbuf_process_free(&process, address, size));
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_free(&process, address, size));
  uint64_t buffer = put(&process, "hello", 5);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, buffer, 65536)); /* it is listed */
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(a_hundred_allocations_leave_a_working_process_as_it_was) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(1);
  DWORD handles;
  DWORD handles_then;
  CHECK(GetProcessHandleCount(idle.handle, &handles));
  for (int i = 0; i < 100; i++) {
    uint64_t address;
    uint64_t size;
    CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
    CHECK_OK(nearbuf_process_free(&process, address, size));
  }
  CHECK(GetProcessHandleCount(idle.handle, &handles_then));
  CHECK_EQUAL(handles, handles_then);
  CHECK_EQUAL(0, target_end(&idle));
}

typedef struct read_only_search {
  uint64_t address;
} read_only_search;

static int find_read_only(const nearbuf_process_mapping *mapping, void *context) {
  read_only_search *search = context;
  if (mapping->is_readable != 0 && mapping->is_writable == 0 && mapping->is_executable == 0 &&
      strstr(mapping->name, "nearbuf_remote_target") != NULL) {
    search->address = mapping->min;
    return -1;
  }
  return 0;
}

TEST(a_constant_of_a_module_can_be_written_and_stays_constant) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  read_only_search search = {0};
  char seen[2] = {0};
  MEMORY_BASIC_INFORMATION before;
  MEMORY_BASIC_INFORMATION then;
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_map(&process, find_read_only, &search));
  const void *page = (const void *)(uintptr_t)search.address;
  CHECK(VirtualQueryEx(idle.handle, page, &before, sizeof before) != 0);
  CHECK_OK(nearbuf_process_write(&process, search.address, "nz", 2, NULL));
  CHECK_OK(nearbuf_process_read(&process, search.address, seen, 2, NULL));
  CHECK(memcmp(seen, "nz", 2) == 0);
  CHECK(VirtualQueryEx(idle.handle, page, &then, sizeof then) != 0);
  CHECK_EQUAL(before.Protect, then.Protect);
  CHECK_EQUAL(0, target_end(&idle));
}
