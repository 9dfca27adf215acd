# What `cmake --install` puts where: the libraries, the headers, the program, a CMake package (mica::mica, mica::static) and a
# pkg-config file.
include(CMakePackageConfigHelpers)
set(MICA_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/mica)

set_target_properties(mica_shared PROPERTIES EXPORT_NAME mica)
set_target_properties(mica_static PROPERTIES EXPORT_NAME static)
# Two sets, because the static library needs its dependencies found again and the shared one does not.
install(TARGETS mica_shared EXPORT mica-shared-targets)
install(TARGETS mica_static EXPORT mica-static-targets)
foreach(kind shared static)
  install(EXPORT mica-${kind}-targets NAMESPACE mica:: DESTINATION ${MICA_CMAKE_DIR})
endforeach()
configure_package_config_file(cmake/mica-config.cmake.in mica-config.cmake INSTALL_DESTINATION ${MICA_CMAKE_DIR})
write_basic_package_version_file(mica-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mica-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/mica-config-version.cmake
  DESTINATION ${MICA_CMAKE_DIR})

foreach(dir LIBDIR INCLUDEDIR) # relative to the prefix, so that a moved installation still works
  cmake_path(IS_ABSOLUTE CMAKE_INSTALL_${dir} absolute)
  if(absolute)
    set(MICA_PC_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(MICA_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
file(RELATIVE_PATH MICA_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/mica.pc.in mica.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mica.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY include/mica DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES README.md LICENSE docs/ARCHITECTURE.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/manual DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")

# Inside a Python package (pip install .): only the library, under the one name that the package looks for.
if(SKBUILD)
  install(FILES $<TARGET_FILE:mica_shared> DESTINATION mica/lib RENAME libmica${CMAKE_SHARED_LIBRARY_SUFFIX} COMPONENT python)
endif()
