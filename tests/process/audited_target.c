/* A program built with a sanitizer: it uses memory, and says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  char *text = malloc(100);
  if (text == NULL) {
    return 1;
  }
  strcpy(text, "runs"); /* NOLINT: it fits */
  puts(text);
  free(text);
  return 0;
}
