# GNU cross-compilers of Debian for Linux on another processor; tests run under an emulator of user
# programs, or directly where this machine runs them.
#
#   -D TRIPLE=aarch64-linux-gnu
#   -D EMULATOR="qemu-aarch64;-L;/usr/aarch64-linux-gnu"    may be empty
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TRIPLE)
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${TRIPLE}")
set(CMAKE_C_COMPILER ${TRIPLE}-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR "${EMULATOR}")
set(CMAKE_FIND_ROOT_PATH /usr/${TRIPLE})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
