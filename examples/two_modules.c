/* Several hooks from two modules that do not know of each other: this program, and a plug-in with
 * its own copy of nearbuf. All hooks end up in one buffer. x86-64.
 *
 *   two_modules PLUGIN   the path of the plug-in */
#include <dlfcn.h>
#include <stdio.h>

#include "counting_hook.h"

enum { HOOKS = 4 };

static int add_one(int number) {
  return number + 1;
}

static int square(int number) {
  return number * number;
}

static int fails(const char *what) {
  fprintf(stderr, "two_modules: %s\n", what);
  return 1;
}

/* Calls each hook as many times as its number, and verifies the count. */
static int all_count(const counting_hook *hooks) {
  for (int i = 0; i < HOOKS; i++) {
    for (int calls = 0; calls <= i; calls++) {
      if (hooks[i].stub(7) != hooks[i].function(7)) {
        return 0;
      }
    }
    if (*hooks[i].calls != (uint32_t)i + 1) {
      return 0;
    }
  }
  return 1;
}

int main(int argc, char **argv) {
  void *plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  nearbuf_status (*plugin_hook_function)(counting_hook *) = NULL;
  if (plugin != NULL) {
    *(void **)&plugin_hook_function = dlsym(plugin, "plugin_hook");
  }
  if (plugin_hook_function == NULL) {
    return fails("the plug-in cannot be loaded");
  }

  counting_hook hooks[HOOKS] = {
      {.function = add_one}, {.function = square}, {.function = add_one}, {.function = square}};
  for (int i = 0; i < HOOKS; i++) {
    nearbuf_status status =
        i % 2 == 0 ? make_counting_hook(&hooks[i]) : plugin_hook_function(&hooks[i]);
    if (status != NEARBUF_OK) {
      return fails(nearbuf_status_text(status));
    }
  }
  if (!all_count(hooks)) {
    return fails("a hook does not count");
  }

  nearbuf_info first;
  nearbuf_info last;
  if (nearbuf_find((void *)(uintptr_t)hooks[0].stub, &first) != NEARBUF_OK ||
      nearbuf_find((void *)(uintptr_t)hooks[HOOKS - 1].stub, &last) != NEARBUF_OK ||
      first.address != last.address) {
    return fails("the two modules do not share a buffer");
  }
  printf("%d hooks of two modules use %u of %u bytes of the buffer at %#jx\n", HOOKS,
         last.used_bytes, last.size_bytes, (uintmax_t)last.address);
  return 0;
}
