//! Calls the drop-in library through `extern "C"` with the reference's own structures, so that each
//! field of `nearbuf/reloaded.h` is compared with the field that it stands for.
//!
//!     bindings LIBRARY

use reference::c::buffers_c_buffers::{AllocationResult, GetBufferResult};
use reference::structs::internal::LocatorItem;
use reference::structs::params::{BufferAllocatorSettings, BufferSearchSettings};
use reference::structs::PrivateAllocation;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::mem::{forget, size_of, transmute_copy};

extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// The function of that name, as a pointer of the type that the caller wants.
unsafe fn function<F>(library: *mut c_void, name: &str) -> F {
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    let symbol = dlsym(library, CString::new(name).unwrap().as_ptr());
    assert!(!symbol.is_null(), "{name} is not exported");
    transmute_copy(&symbol)
}

unsafe fn text(err: *const c_char) -> String {
    assert!(!err.is_null());
    CStr::from_ptr(err).to_str().unwrap().to_string()
}

unsafe fn settings(library: *mut c_void) {
    let search: extern "C" fn(usize, usize, usize) -> BufferSearchSettings =
        function(library, "buffersearchsettings_from_proximity");
    let found = search(0x1000, 0x5000, 77);
    assert_eq!((found.min_address, found.max_address, found.size), (0x4000, 0x6000, 77));

    let allocator: extern "C" fn(usize, usize, usize) -> BufferAllocatorSettings =
        function(library, "bufferallocatorsettings_from_proximity");
    let found = allocator(0x1000, 0x5000, 77);
    assert_eq!((found.min_address, found.max_address, found.size), (0x4000, 0x6000, 77));
    assert_eq!(found.target_process_id, std::process::id());
    assert_eq!((found.retry_count, found.brute_force), (8, true));
}

unsafe fn buffers(library: *mut c_void) {
    let get: extern "C" fn(&BufferSearchSettings) -> GetBufferResult =
        function(library, "buffers_get_buffer");
    let append: extern "C" fn(*mut LocatorItem, *const u8, usize) -> usize =
        function(library, "locatoritem_append_bytes");
    let free: extern "C" fn(GetBufferResult) = function(library, "free_get_buffer_result");
    let free_string: extern "C" fn(*mut c_char) = function(library, "free_string");

    let settings = BufferSearchSettings { min_address: 0, max_address: 1 << 40, size: 100 };
    let result = get(&settings);
    assert!(result.is_ok && result.err.is_null());
    let item = &mut *result.ok;
    assert!(item.is_taken() && item.is_allocated() && item.bytes_left() >= 100);
    assert!(item.can_use(100, settings.min_address, settings.max_address));

    let bytes = [1u8, 2, 3, 4, 5];
    let expected = item.min_address() + item.position as usize;
    assert_eq!(append(result.ok, bytes.as_ptr(), bytes.len()), expected);
    assert_eq!(item.min_address() + item.position as usize, expected + bytes.len());
    assert_eq!(std::slice::from_raw_parts(expected as *const u8, 5), &bytes);

    // The reference's own way of appending and of locking, on our item.
    assert_eq!(item.append_bytes(&bytes), expected + 5);
    free(result);
    assert!(!item.is_taken() && item.try_lock());
    item.unlock();

    let failed = get(&BufferSearchSettings { min_address: 0x5000, max_address: 0x5000, size: 1 });
    assert!(!failed.is_ok && failed.ok.is_null() && !text(failed.err).is_empty());
    free_string(failed.err as *mut c_char);
    free(failed);
}

unsafe fn private_memory(library: *mut c_void) {
    let allocate: extern "C" fn(&mut BufferAllocatorSettings) -> AllocationResult =
        function(library, "buffers_allocate_private_memory");
    let free: extern "C" fn(PrivateAllocation) = function(library, "free_private_allocation");
    let free_result: extern "C" fn(AllocationResult) = function(library, "free_allocation_result");

    let mut settings = BufferAllocatorSettings::new();
    settings.min_address = 0x10000;
    settings.size = 5000;
    let result = allocate(&mut settings);
    assert!(result.is_ok && result.err.is_null());
    assert_eq!(result.ok.size() % 4096, 0);
    assert!(result.ok.size() >= 5000 && settings.size as usize == result.ok.size());
    *result.ok.base_address().as_ptr() = 1;
    free_result(result);

    let result = allocate(&mut settings);
    assert!(result.is_ok);
    free(std::ptr::read(&result.ok));
    forget(result); // it is freed

    settings.target_process_id += 1;
    let failed = allocate(&mut settings);
    assert!(!failed.is_ok && !text(failed.err).is_empty());
    forget(failed); // the reference's own destructor does not expect a null address
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: bindings LIBRARY");
    unsafe {
        let library = dlopen(CString::new(path).unwrap().as_ptr(), RTLD_NOW);
        assert!(!library.is_null(), "the library cannot be loaded");
        settings(library);
        buffers(library);
        private_memory(library);
    }
    println!("bindings: all types agree");
}
