# nearbuf_target(TARGET): the warnings and sanitizers that everything in this project is built with.
# They stay private: nobody who links the library inherits them.
function(nearbuf_target target)
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
      -Wundef -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wformat=2
      $<$<BOOL:${NEARBUF_WERROR}>:-Werror>)
  endif()
  if(NEARBUF_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${NEARBUF_SANITIZE})
  endif()
endfunction()
