# Zig as a C cross-compiler (PyPI: ziglang 0.15 or later) for macOS, FreeBSD and Windows on ARM. It
# has the systems' headers and the symbols of their libraries: a program that links uses no others.
#
#   -D ZIG=.../ziglang/zig -D ZIG_TARGET=aarch64-macos.11.0
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG ZIG_TARGET)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${ZIG_TARGET}")
set(CMAKE_C_COMPILER "${ZIG}" cc -target ${ZIG_TARGET})
# What this machine has installed is for this machine.
set(CMAKE_FIND_ROOT_PATH "${CMAKE_BINARY_DIR}/zig-bin")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_C_FLAGS_INIT -fno-sanitize=undefined) # without -O Zig adds it, and archives would need its runtime
set(wrappers "${CMAKE_BINARY_DIR}/zig-bin")
macro(wrapper name text)
  file(WRITE "${wrappers}/${name}" "#!/bin/sh\n${text}\n")
  file(CHMOD "${wrappers}/${name}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endmacro()
wrapper(ar "exec '${ZIG}' ar \"$@\"") # GNU ar cannot read objects for Windows on ARM
wrapper(ranlib "exec '${ZIG}' ranlib \"$@\"")
set(CMAKE_AR "${wrappers}/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${wrappers}/ranlib" CACHE FILEPATH "")
if(ZIG_TARGET MATCHES macos)
  set(CMAKE_SYSTEM_NAME Darwin)
  set(CMAKE_SYSTEM_VERSION 24)
  wrapper(sw_vers "echo 15.0") # CMake asks it, and without an answer there is no @rpath
  wrapper(install_name_tool "exit 0")
  set(CMAKE_INSTALL_NAME_TOOL "${wrappers}/install_name_tool")
  set(ENV{PATH} "${wrappers}:$ENV{PATH}")
  # Zig does not have -bundle; for dlopen a dylib serves as well. Read after CMake's own file for
  # Darwin.
  file(WRITE "${wrappers}/rules.cmake" "set(CMAKE_SHARED_MODULE_CREATE_C_FLAGS -dynamiclib)\n")
  set(CMAKE_USER_MAKE_RULES_OVERRIDE_C "${wrappers}/rules.cmake")
elseif(ZIG_TARGET MATCHES freebsd)
  set(CMAKE_SYSTEM_NAME FreeBSD)
  set(CMAKE_SHARED_LINKER_FLAGS_INIT -Wl,-z,defs) # else undefined names of a library are no errors
else()
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_RC_COMPILER "${ZIG}")
  set(CMAKE_RC_COMPILE_OBJECT "<CMAKE_RC_COMPILER> rc /:target ${CMAKE_SYSTEM_PROCESSOR} \
/:output-format coff /fo <OBJECT> <SOURCE>")
endif()
