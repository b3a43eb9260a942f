/* Finding and making the anchor on Windows; see windows/anchor.h. */
#include "os/windows/anchor.h"

#include <windows.h>

#include "os/windows/error.h"

static uintptr_t place_of(uint32_t index) {
  return (uintptr_t)nbuf_anchor_place(sizeof(uintptr_t), index);
}

/* Whether memory of an anchor's shape is mapped there, whose mark is ours or not stored yet: its
 * maker may have been stopped in between, and no thread waits for that. */
static bool is_anchor(uintptr_t place, const MEMORY_BASIC_INFORMATION *region) {
  if (region->State != MEM_COMMIT || region->Type != MEM_PRIVATE ||
      region->Protect != PAGE_READWRITE || (uintptr_t)region->AllocationBase != place ||
      region->RegionSize != NBUF_ANCHOR_SIZE) {
    return false;
  }
  uint32_t mark = 0;
  return atomic_compare_exchange_strong((_Atomic uint32_t *)place, &mark, NBUF_ANCHOR_MARK) ||
         mark == NBUF_ANCHOR_MARK;
}

/* OK if the anchor is there. A place that cannot be queried must not look like a free one: that
 * would lead to two anchors. */
static nbuf_result look_at(uintptr_t place, _Atomic uintptr_t **word) {
  MEMORY_BASIC_INFORMATION region;
  if (VirtualQuery((const void *)place, &region, sizeof region) == 0) {
    DWORD error = GetLastError();
    return error == ERROR_INVALID_PARAMETER /* beyond the address space */
               ? nbuf_result_of(NEARBUF_NOT_FOUND)
               : nbuf_result_system(NEARBUF_SYSTEM_ERROR, (int32_t)error);
  }
  if (!is_anchor(place, &region)) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  *word = (_Atomic uintptr_t *)(place + NBUF_ANCHOR_WORD_AT);
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_anchor_find(_Atomic uintptr_t **word) {
  nbuf_result result = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (uint32_t i = 0; place_of(i) != 0 && result.status == NEARBUF_NOT_FOUND; i++) {
    result = look_at(place_of(i), word);
  }
  return result;
}

/* NOT_FOUND: the place is occupied, or the system never gives it. */
static nbuf_result claim(uintptr_t place, _Atomic uintptr_t **word) {
  void *got =
      VirtualAlloc((void *)place, NBUF_ANCHOR_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if ((uintptr_t)got == place) {
    return look_at(place, word);
  }
  DWORD error = GetLastError();
  if (got != NULL) {
    (void)VirtualFree(got, 0, MEM_RELEASE);
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  bool is_of_place = error == ERROR_INVALID_ADDRESS || error == ERROR_INVALID_PARAMETER;
  return is_of_place ? nbuf_result_of(NEARBUF_NOT_FOUND) : nbuf_windows_failure(error);
}

/* All makers try the places in the same order, so two of them meet at the first that either gets.
 */
nbuf_result nbuf_anchor_make(_Atomic uintptr_t **word) {
  nbuf_result result = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (uint32_t i = 0; place_of(i) != 0 && result.status == NEARBUF_NOT_FOUND; i++) {
    result = claim(place_of(i), word);
    if (result.status == NEARBUF_NOT_FOUND) {
      result = look_at(place_of(i), word); /* another thread may have been faster */
    }
  }
  return result;
}
