/* Included into every file of the static library for 32-bit Windows: says what Microsoft's linker
 * wants to know of an object with /safeseh, that all its handlers of exceptions are listed. There
 * are none. */
#ifndef NB_WINDOWS_SAFESEH_H
#define NB_WINDOWS_SAFESEH_H

__asm__(".globl \"@feat.00\"\n\t.set \"@feat.00\", 1");

#endif
