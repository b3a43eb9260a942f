/* The only table of statuses, and the version. */
#include <nearbuf/nearbuf.h>

typedef struct status_entry {
  const char *name;
  const char *text;
} status_entry;

#define ENTRY(status, text) [status] = {#status, text}

static const status_entry entries[] = {
    ENTRY(NEARBUF_OK, "success"),
    ENTRY(NEARBUF_NO_ROOM, "nothing free in the address range is large enough"),
    ENTRY(NEARBUF_OUT_OF_MEMORY, "memory, address space, descriptors or mappings are used up"),
    ENTRY(NEARBUF_DENIED, "the system forbids it"),
    ENTRY(NEARBUF_BUSY, "a lock was held for longer than the bound; try again"),
    ENTRY(NEARBUF_STALE, "the handle was taken before a fork"),
    ENTRY(NEARBUF_INCOMPATIBLE, "the locator is damaged or of an unknown version"),
    ENTRY(NEARBUF_NOT_FOUND, "not found"),
    ENTRY(NEARBUF_UNSUPPORTED, "not supported on this system"),
    ENTRY(NEARBUF_SYSTEM_ERROR, "a system call failed"),
    ENTRY(NEARBUF_BEYOND_ROOM, "more bytes than there is room for"),
    ENTRY(NEARBUF_CANCELLED, "the callback ended the call"),
    ENTRY(NEARBUF_INVALID_ARGUMENT, "a null pointer, an unknown flag or a wrong struct_size"),
    ENTRY(NEARBUF_INVALID_SIZE, "the size is 0, or 4 GiB or more"),
    ENTRY(NEARBUF_INVALID_ALIGNMENT, "the alignment is not a power of two"),
    ENTRY(NEARBUF_INVALID_RANGE, "the minimum lies above the maximum"),
    ENTRY(NEARBUF_RANGE_TOO_SMALL, "the range cannot hold the size at that alignment"),
    ENTRY(NEARBUF_INVALID_HANDLE, "the handle was never filled, or is already released"),
    ENTRY(NEARBUF_NOT_MAPPED, "no memory is mapped there, or none for this use"),
};

static const status_entry unknown = {"NEARBUF_UNKNOWN", "a status this version does not know"};

static const status_entry *entry_of(nearbuf_status status) {
  size_t index = (size_t)(unsigned)status;
  return index < sizeof entries / sizeof entries[0] ? &entries[index] : &unknown;
}

const char *nearbuf_status_name(nearbuf_status status) {
  return entry_of(status)->name;
}

const char *nearbuf_status_text(nearbuf_status status) {
  return entry_of(status)->text;
}

uint32_t nearbuf_version(void) {
  return NEARBUF_VERSION;
}
