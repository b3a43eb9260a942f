/* What encloses a public call that makes system calls (nbuf_os_call_begin): here such calls do not
 * nest, and each gets back what it began with. To be included before the source that calls them. */
#ifndef INVENTED_CALL_H
#define INVENTED_CALL_H

#include "os/os.h"
#include "test.h"

#define nbuf_os_call_begin invented_call_begin
#define nbuf_os_call_end invented_call_end

enum { CALL = 23 };

static bool is_in_call;

static nbuf_os_call invented_call_begin(void) {
  CHECK(!is_in_call);
  is_in_call = true;
  return (nbuf_os_call){CALL, CALL};
}

static void invented_call_end(nbuf_os_call call) {
  CHECK(is_in_call && call.cancellation == CALL && call.last_error == CALL);
  is_in_call = false;
}

#endif
