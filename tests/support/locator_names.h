/* The names of the files and sections of locators, and of the directories of the files, as
 * docs/format.md has them; written out here so that tests notice if the library uses others. */
#ifndef NEARBUF_TEST_LOCATOR_NAMES_H
#define NEARBUF_TEST_LOCATOR_NAMES_H

/* What follows /tmp, of this or another root directory. */
#define SHARED_PARENT_IN_TMP "/.reloaded"
#define SHARED_DIRECTORY_IN_TMP SHARED_PARENT_IN_TMP "/memory.buffers"

#define SHARED_PARENT "/tmp" SHARED_PARENT_IN_TMP
#define LOCATOR_DIRECTORY "/tmp" SHARED_DIRECTORY_IN_TMP

/* With a user id for %u: used by that user where the shared directory is not usable. */
#define USER_DIRECTORY_FORMAT SHARED_PARENT ".%u"

/* A process id follows. */
#define LOCATOR_PREFIX "Reloaded.Memory.Buffers.MemoryBuffer, PID "

#endif
