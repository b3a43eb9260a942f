#!/bin/sh
# Links a program by the rules of Microsoft's linker with the import library and with the static
# library, and runs it.
#
#   msvc.sh BUILD_FOLDER x64|x86 EMULATOR
set -eu
build=$1 machine=$2 emulator=$3
source=$(cd "$(dirname "$0")/../.." && pwd)
for tool in clang lld-link llvm-dlltool; do
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
  x64) target=x86_64-pc-windows-msvc dlltool=i386:x86-64 safe='' nm=x86_64-w64-mingw32-nm ;;
  x86) target=i686-pc-windows-msvc dlltool=i386 safe=/safeseh nm=i686-w64-mingw32-nm ;;
esac

# Import libraries of the system's DLLs as the Windows SDK has them: of the functions that are
# called.
names() { # PATTERN: of the symbols that the static library and the program want
  "$nm" -u "$build/nearbuf_static.lib" user_static.obj | sed -n "s/^ *U $1\$/\1/p" | sort -u
}
import_library() { # DLL NAME...
  { echo "LIBRARY $1.dll" && echo EXPORTS && cat; } >"$1.def"
  llvm-dlltool -k -m "$dlltool" -d "$1.def" -l "$1.lib"
}

compile() { # OUTPUT [option...]
  output=$1
  shift
  clang "--target=$target" -ffreestanding -fno-stack-protector -O2 -Wall -Werror -Wno-pragma-pack "$@" \
    -I "$source/include" -c "$source/tests/windows/msvc_user.c" -o "$output"
}
compile user.obj
compile user_static.obj -DNEARBUF_STATIC
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
