//! The reference's C exports, and what bench/modules.c asks of a module (bench/module.h): a copy of this
//! library under a name of its own is a module with a copy of the reference.
pub use reloaded_memory_buffers::*;

use reloaded_memory_buffers::buffers::Buffers;
use reloaded_memory_buffers::structs::params::BufferSearchSettings;

/// As NEARBUF_REACH_JUMP, less the largest buffer: only its first byte is compared with the range.
const REACH: usize = 0x7fff_0000 - 0x20_0000;

/// # Safety
///
/// `bytes` must point to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn module_place(target: *const u8, bytes: *const u8, size: usize) -> *mut u8 {
    let settings = BufferSearchSettings::from_proximity(REACH, target as usize, size);
    match Buffers::get_buffer(&settings) {
        Ok(item) => item.append_bytes(std::slice::from_raw_parts(bytes, size)) as *mut u8,
        Err(_) => std::ptr::null_mut(),
    }
}
