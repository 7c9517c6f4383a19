# quern_embed(FILE HEADER NAMESPACE CONSTANT): lets a data file travel inside the program: "HEADER", made in the build
# folder, has the text of FILE as NAMESPACE::CONSTANT.
function(quern_embed file header namespace constant)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/${header} @ONLY CONTENT
       "#pragma once\n\nnamespace @namespace@ {\ninline constexpr const char* @constant@ = R\"embedded(@text@)embedded\";\n}\n")
endfunction()
