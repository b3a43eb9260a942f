/* Included into every file of the static library for 32-bit Windows: tells Microsoft's linker with
 * /safeseh that all exception handlers of the object are listed. There are none. */
#ifndef NBUF_WINDOWS_SAFESEH_H
#define NBUF_WINDOWS_SAFESEH_H

__asm__(".globl \"@feat.00\"\n\t.set \"@feat.00\", 1");

#endif
