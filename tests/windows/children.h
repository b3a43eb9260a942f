/* Other processes that run the same test in another role. */
#ifndef NEARBUF_TEST_CHILDREN_H
#define NEARBUF_TEST_CHILDREN_H

#include <stdbool.h>

#include <windows.h>

/* Whether this process was started in the role. */
bool child_has_role(const char *role);

/* Starts this program again, with a test and a role for it. */
HANDLE child_start(const char *test, const char *role);

/* Waits for its end, at most a minute, and returns its exit status. */
int child_status(HANDLE child);

#endif
