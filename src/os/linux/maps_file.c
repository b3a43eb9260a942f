/* An open /proc/<pid>/maps; see maps_file.h. */
#include "os/linux/maps_file.h"

#include <errno.h>
#include <unistd.h>

bool nbuf_maps_file_fill(nbuf_maps_file *maps) {
  ssize_t count;
  do {
    count = read(maps->file, maps->text, sizeof maps->text);
  } while (count < 0 && errno == EINTR);
  maps->system_error = count < 0 ? errno : 0;
  maps->buffered = count > 0 ? (uint32_t)count : 0;
  maps->consumed = 0;
  return count > 0;
}

nbuf_maps_answer nbuf_maps_file_next(nbuf_maps_file *maps, nbuf_maps_line *line) {
  nbuf_maps_begin(line);
  while (maps->consumed < maps->buffered || nbuf_maps_file_fill(maps)) {
    nbuf_maps_answer answer = nbuf_maps_feed(line, maps->text[maps->consumed++]);
    if (answer == NBUF_MAPS_BAD_LINE) {
      nbuf_maps_begin(line);
    } else if (answer != NBUF_MAPS_MORE) {
      return answer;
    }
  }
  return NBUF_MAPS_MORE;
}
