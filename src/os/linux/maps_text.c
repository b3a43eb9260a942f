/* The text of /proc/<pid>/maps; see maps_text.h.
 *
 *   7f12a000-7f12b000 rw-s 00001000 fe:00 4711    /tmp/.reloaded/... */
#include "os/linux/maps_text.h"

#include <string.h>

enum { START, END, PERMISSIONS, OFFSET, MAJOR, MINOR, INODE, BLANKS, NAME, BAD };

void nbuf_maps_begin(nbuf_maps_line *line) {
  memset(line, 0, sizeof *line);
}

static int digit_of(char character) {
  if (character >= '0' && character <= '9') {
    return character - '0';
  }
  return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

/* Takes a digit of the current number, or ends it at the character `end`. */
static void feed_number(nbuf_maps_line *line, char character, char end, uint64_t base,
                        uint8_t next_field) {
  int digit = digit_of(character);
  if (character == end) {
    line->field = next_field;
  } else if (digit < 0 || (uint64_t)digit >= base ||
             line->number > (UINT64_MAX - (uint64_t)digit) / base) {
    line->field = BAD;
  } else {
    line->number = line->number * base + (uint64_t)digit;
  }
}

static void end_number(nbuf_maps_line *line, uint8_t ended) {
  nbuf_mapping *mapping = &line->mapping;
  uint64_t number = line->number;
  line->number = 0;
  switch (ended) {
  case START:
    line->start = number;
    break;
  case END:
    line->last = number - 1;
    line->field = number <= line->start ? BAD : line->field;
    break;
  case OFFSET:
    mapping->offset = number;
    break;
  case MAJOR:
    line->major = (uint32_t)number;
    break;
  case MINOR:
    mapping->device = (uint64_t)line->major << 32 | (uint32_t)number;
    break;
  default:
    mapping->inode = number;
    break;
  }
}

static void feed_permission(nbuf_maps_line *line, char character) {
  nbuf_mapping *mapping = &line->mapping;
  if (character == ' ') {
    line->field = line->permission == 4 ? OFFSET : BAD;
    return;
  }
  switch (line->permission++) {
  case 0:
    mapping->readable = character == 'r';
    break;
  case 1:
    mapping->writable = character == 'w';
    break;
  case 2:
    mapping->executable = character == 'x';
    break;
  case 3:
    mapping->shared = character == 's';
    break;
  default:
    line->field = BAD;
    break;
  }
}

/* Keeps the end of the name, which is the part that identifies it. */
static void feed_name(nbuf_maps_line *line, char character) {
  char *name = line->mapping.name_end;
  uint32_t room = sizeof line->mapping.name_end - 1;
  if (line->name_length == room) {
    uint32_t dropped = room / 4; /* so that three quarters are kept: enough for a locator's name */
    memmove(name, name + dropped, room - dropped);
    line->name_length = room - dropped;
  }
  name[line->name_length++] = character;
  name[line->name_length] = '\0';
}

static nbuf_maps_answer end_line(nbuf_maps_line *line) {
  bool is_complete =
      line->field == BLANKS || line->field == NAME || (line->field == INODE && line->last != 0);
  if (!is_complete) {
    return NBUF_MAPS_BAD_LINE;
  }
  line->mapping.range = (nbuf_range){(uintptr_t)line->start, (uintptr_t)line->last};
  return line->last > UINTPTR_MAX ? NBUF_MAPS_WIDE_MAPPING : NBUF_MAPS_MAPPING;
}

nbuf_maps_answer nbuf_maps_feed(nbuf_maps_line *line, char character) {
  if (character == '\n') {
    if (line->field == INODE) {
      end_number(line, INODE);
    }
    return end_line(line);
  }
  uint8_t field = line->field;
  switch (field) {
  case START:
    feed_number(line, character, '-', 16, END);
    break;
  case END:
    feed_number(line, character, ' ', 16, PERMISSIONS);
    break;
  case PERMISSIONS:
    feed_permission(line, character);
    return NBUF_MAPS_MORE;
  case OFFSET:
    feed_number(line, character, ' ', 16, MAJOR);
    break;
  case MAJOR:
    feed_number(line, character, ':', 16, MINOR);
    break;
  case MINOR:
    feed_number(line, character, ' ', 16, INODE);
    break;
  case INODE:
    feed_number(line, character, ' ', 10, BLANKS);
    break;
  case BLANKS:
    if (character == ' ') {
      return NBUF_MAPS_MORE;
    }
    line->field = NAME;
    feed_name(line, character);
    return NBUF_MAPS_MORE;
  case NAME:
    feed_name(line, character);
    return NBUF_MAPS_MORE;
  default:
    return NBUF_MAPS_MORE;
  }
  if (line->field != field && line->field != BAD) {
    end_number(line, field);
  }
  return NBUF_MAPS_MORE;
}
