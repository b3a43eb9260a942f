/* An open /proc/<pid>/maps; see maps_file.h. */
#include "os/linux/maps_file.h"

#include <errno.h>
#include <unistd.h>

void nb_maps_file_start(nb_maps_file *maps, int file) {
  maps->is_open = file >= 0;
  maps->file = file;
  maps->system_error = 0;
  maps->buffered = 0;
  maps->consumed = 0;
}

bool nb_maps_file_fill(nb_maps_file *maps) {
  ssize_t count;
  do {
    count = read(maps->file, maps->text, sizeof maps->text);
  } while (count < 0 && errno == EINTR);
  maps->system_error = count < 0 ? errno : 0;
  maps->buffered = count > 0 ? (uint32_t)count : 0;
  maps->consumed = 0;
  return count > 0;
}

nb_maps_answer nb_maps_file_next(nb_maps_file *maps, nb_maps_line *line) {
  nb_maps_begin(line);
  while (maps->consumed < maps->buffered || nb_maps_file_fill(maps)) {
    nb_maps_answer answer = nb_maps_feed(line, maps->text[maps->consumed++]);
    if (answer == NB_MAPS_BAD_LINE) {
      nb_maps_begin(line);
    } else if (answer != NB_MAPS_MORE) {
      return answer;
    }
  }
  return NB_MAPS_MORE;
}
