# nearbuf_target(TARGET): the warnings and sanitizers that everything in this project is built with.
# They stay private: nobody who links the library inherits them.
function(nearbuf_target target)
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow
      "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>"
      -Wundef -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wformat=2
      $<$<BOOL:${NEARBUF_WERROR}>:-Werror>)
  endif()
  if(MINGW)
    # printf as C has it, whatever Microsoft's runtime does; and no library beside the system's own: a
    # DLL that drags libgcc along could not be put into a foreign process.
    target_compile_definitions(${target} PRIVATE __USE_MINGW_ANSI_STDIO=1)
    target_link_options(${target} PRIVATE -static-libgcc)
  endif()
  if(NEARBUF_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE})
  endif()
endfunction()
