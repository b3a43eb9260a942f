/* The plug-in of two_modules.c; linked with the static library. */
#include "counting_hook.h"

nearbuf_status plugin_hook(counting_hook *hook) {
  return make_counting_hook(hook);
}
