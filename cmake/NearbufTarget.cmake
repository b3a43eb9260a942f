# nearbuf_target(TARGET): the warnings and sanitizers that everything in this project is built with.
# They are private: programs that link the library do not inherit them.
function(nearbuf_target target)
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow
      "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>"
      -Wundef -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wformat=2
      $<$<BOOL:${NEARBUF_WERROR}>:-Werror>)
  endif()
  if(MINGW)
    # printf as in C, not as in Microsoft's runtime; and no library besides the system's own: a DLL
    # that depends on libgcc could not be injected into another process.
    target_compile_definitions(${target} PRIVATE __USE_MINGW_ANSI_STDIO=1)
    target_link_options(${target} PRIVATE -static-libgcc)
  endif()
  if(NEARBUF_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE})
  endif()
endfunction()
