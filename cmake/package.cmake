# `cmake --build … --target uninstall`, and CPack: `cpack --config build/release/CPackConfig.cmake` makes a .tar.gz and,
# where Debian's tools are, a .deb whose dependencies dpkg-shlibdeps finds.
add_custom_target(uninstall
  COMMAND ${CMAKE_COMMAND} -D BINARY_DIR=${PROJECT_BINARY_DIR} -P ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake
  COMMENT "Removing what the last installation from this build brought")

set(CPACK_GENERATOR TGZ)
find_program(quern_dpkg_shlibdeps dpkg-shlibdeps)
find_program(quern_file file)  # which CPack uses to find the binaries
mark_as_advanced(quern_dpkg_shlibdeps quern_file)
if(quern_dpkg_shlibdeps AND quern_file)
  list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_PACKAGE_VENDOR "The Quern authors")
set(CPACK_PACKAGE_CONTACT "The Quern authors")
set(CPACK_PACKAGE_DESCRIPTION "Quern runs GPT-2, LLaMA and Qwen models from Hugging Face folders as they are,
on the CPU and on NVIDIA GPUs. This package has the program, the C++ library and
its headers.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME ${PROJECT_NAME}-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_MONOLITHIC_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)  # and the trigger for ldconfig
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++ (>= 4:11), pkg-config, bash-completion")
include(CPack)
