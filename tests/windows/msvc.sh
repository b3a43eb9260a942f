#!/bin/sh
# Links a program by the rules of Microsoft's linker with the import library, with the static
# library, and with the library's sources, compiled for Microsoft's ABI and with control-flow guard;
# and runs it.
#
#   msvc.sh BUILD_FOLDER x64|x86 EMULATOR
set -eu
build=$1 machine=$2 emulator=$3
source=$(cd "$(dirname "$0")/../.." && pwd)
for tool in clang lld-link llvm-dlltool llvm-readobj; do
  command -v "$tool" >/dev/null || {
    echo "$tool is not installed"
    exit 77
  }
done
work=$build/tests/msvc
rm -rf "$work"
mkdir -p "$work/tests"
cd "$work"

case $machine in
  x64) target=x86_64-pc-windows-msvc dlltool=i386:x86-64 safe='' triple=x86_64-w64-mingw32 headers='' ;;
  x86) target=i686-pc-windows-msvc dlltool=i386 safe=/safeseh triple=i686-w64-mingw32 headers=-D_X86_=1 ;;
esac

# Import libraries of the system's DLLs as the Windows SDK has them: of the functions that are
# called.
names() { # PATTERN: of the symbols that the static library and the program want
  "$triple-nm" -u "$build/nearbuf_static.lib" user_static.obj sources/*.obj | sed -n "s/^ *U $1\$/\1/p" | sort -u
}
import_library() { # DLL NAME...
  { echo "LIBRARY $1.dll" && echo EXPORTS && cat; } >"$1.def"
  llvm-dlltool -k -m "$dlltool" -d "$1.def" -l "$1.lib"
}

compile() { # SOURCE OUTPUT [option...]
  from=$1 output=$2
  shift 2
  clang "--target=$target" -ffreestanding -fno-stack-protector -O2 -Wall -Werror -Wno-pragma-pack "$@" \
    -I "$source/include" -c "$from" -o "$output"
}
compile "$source"/tests/windows/msvc_user.c user.obj
compile "$source"/tests/windows/msvc_user.c user_static.obj -DNEARBUF_STATIC
compile "$source"/tests/windows/msvc_guard.c guard.obj

# With mingw's headers, since Microsoft's are not to be had here. They need the macro __GNUC__, and
# not every version of them compiles in this mode. No stack probes: they are a function of
# Microsoft's runtime.
compile_for_system() { # SOURCE OUTPUT
  # shellcheck disable=SC2086 # an empty option is none
  compile "$1" "$2" -std=c17 -Wextra -Wno-ignored-attributes -Xclang -cfguard \
    -mno-stack-arg-probe -fgnuc-version=4.2.1 $headers -isystem "/usr/$triple/include" \
    -I "$source/src" -DWIN32_LEAN_AND_MEAN -DNEARBUF_STATIC -DNEARBUF_PROCESS_STATIC \
    -DNEARBUF_RELOADED_STATIC
}
mkdir sources others
has_headers=yes
printf '#include <stdlib.h>\n#include <windows.h>\n#include <psapi.h>\n' >headers.c
compile_for_system headers.c headers.obj 2>headers.log || has_headers=no
if [ "$has_headers" = yes ]; then
  for file in "$source"/src/base/*.c "$source"/src/core/*.c "$source"/src/api/*.c \
    "$source"/src/os/*.c "$source"/src/os/windows/*.c "$source"/src/remote/*.c \
    "$source"/src/remote/windows/*.c; do
    name=${file#"$source/"}
    folder=sources
    [ "$name" = "${name#src/remote/}" ] || folder=others # which the program does not need
    compile_for_system "$file" "$folder/$(echo "${name%.c}" | tr / _).obj"
  done
fi

if [ "$machine" = x86 ]; then
  names '__imp__\([A-Za-z0-9_]*@[0-9]*\)' | import_library kernel32
  names '_\(mem[a-z]*\|str[a-z]*\)' | import_library msvcrt
else
  names '__imp_\([A-Za-z0-9_]*\)' | import_library kernel32
  names '\(mem[a-z]*\|str[a-z]*\)' | import_library msvcrt
fi

link() { # NAME OBJECT LIBRARY...
  name=$1
  shift
  # shellcheck disable=SC2086 # an empty option is none
  lld-link /nologo /nodefaultlib /subsystem:console /entry:mainCRTStartup "/machine:$machine" $safe \
    "/out:tests/$name.exe" "$@" kernel32.lib msvcrt.lib
  "$emulator" "tests/$name.exe" | tail -n 1 | grep -q '^passed: msvc$'
  echo "passed: $name"
}
cp "$build/nearbuf.dll" tests/
link with_dll user.obj "$build/nearbuf.lib"
link with_static user_static.obj "$build/nearbuf_static.lib"

if [ "$has_headers" = yes ]; then
  link with_sources user_static.obj guard.obj sources/*.obj /guard:cf
  llvm-readobj --coff-load-config tests/with_sources.exe >load_config
  grep -q 'GuardCFFunctionCount: [1-9]' load_config
  grep -q 'GuardFlags.*0x500' load_config # instrumented, and there is a table
  echo "passed: control-flow guard"
else
  echo "not tried: the system's headers do not compile for Microsoft's ABI"
fi
