# What `cmake --install` installs, and where. The inspector installs itself
# (tools/nearbuf/CMakeLists.txt).
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/nearbuf
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(TARGETS nearbuf nearbuf_static nearbuf_reloaded nearbuf_reloaded_static
                nearbuf_process nearbuf_process_static
        EXPORT nearbuf-targets)
if(MINGW)
  foreach(file nearbuf reloaded_memory_buffers nearbuf_process)
    install(FILES ${PROJECT_BINARY_DIR}/${file}.def ${PROJECT_BINARY_DIR}/${file}.lib
            DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL)
  endforeach()
  foreach(library nearbuf nearbuf_reloaded nearbuf_process)
    install(FILES ${PROJECT_BINARY_DIR}/${library}_static.lib DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endforeach()
endif()
# Everything that is installed, and nothing else. It needs a separate name: to Ninja `nearbuf` is
# the file of the tool, not the target of the library.
add_custom_target(nearbuf_installable)
add_dependencies(nearbuf_installable nearbuf nearbuf_static nearbuf_reloaded nearbuf_reloaded_static
                 nearbuf_process nearbuf_process_static)
if(TARGET nearbuf_tool)
  add_dependencies(nearbuf_installable nearbuf_tool nearbuf_demo_plugin)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nearbuf)
install(EXPORT nearbuf-targets NAMESPACE nearbuf:: DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nearbuf-config-version.cmake
                                 COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/nearbuf-config.cmake
              ${PROJECT_BINARY_DIR}/nearbuf-config-version.cmake
        DESTINATION ${package_dir})

# Paths in the .pc file are relative to the file itself, because `cmake --install --prefix` chooses
# the prefix after it was written. Folders given as absolute paths stay absolute.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
  set(pc_libdir ${CMAKE_INSTALL_LIBDIR})
else()
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
foreach(package nearbuf nearbuf-reloaded nearbuf-process)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc
                 @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
