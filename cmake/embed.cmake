# rt_embed(TARGET FUNCTION FILES "path|type|file" ...): the files become part of the target, compressed, and FUNCTION() of
# namespace rt::ops lists them (services/ops/static_files.h). They lie in the read-only part of the program, so they cost no
# memory before somebody asks for them.
function(rt_embed target function)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(symbols "")
  set(entries "")
  set(all_packed "")
  set(index 0)
  foreach(entry ${ARG_FILES})
    string(REPLACE "|" ";" parts "${entry}")
    list(GET parts 0 path)
    list(GET parts 1 type)
    list(GET parts 2 file)
    if(NOT EXISTS ${file})
      message(FATAL_ERROR "${file} is not there. ./dev build installs it; without ./dev: npm ci --ignore-scripts, in the folder web")
    endif()
    set(packed ${CMAKE_CURRENT_BINARY_DIR}/${function}_${index}.gz)
    add_custom_command(OUTPUT ${packed} DEPENDS ${file} VERBATIM
                       COMMAND sh -c "gzip -9nc \"$1\" > \"$2\"" pack ${file} ${packed})
    # Its name for caches. A file that changes configures anew.
    file(SHA256 ${file} hash)
    string(SUBSTRING ${hash} 0 16 etag)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    set(symbol rt_${function}_${index})
    string(APPEND symbols "asm(\".section .rodata,\\\"a\\\",@progbits\\n.balign 16\\n.globl ${symbol}, ${symbol}_end\\n.hidden ${symbol}, ${symbol}_end\\n\"\n"
                          "    \"${symbol}: .incbin \\\"${packed}\\\"\\n${symbol}_end:\\n.previous\\n\");\n"
                          "extern \"C\" const char ${symbol}[], ${symbol}_end[];\n")
    string(APPEND entries "      {\"${path}\", \"${type}\", \"${etag}\", {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})}},\n")
    list(APPEND all_packed ${packed})
    math(EXPR index "${index} + 1")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${function}.cc)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
"#include \"services/ops/static_files.h\"

@symbols@
namespace rt::ops {

std::span<const StaticFile> @function@() {
  static const StaticFile kFiles[] = {
@entries@  };
  return kFiles;
}

}  // namespace rt::ops
")
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${all_packed}")
  target_sources(${target} PRIVATE ${source})
endfunction()

# rt_embed_sql(TARGET FOLDERS ...): the files of these folders of sql/, in the order of their names, become part of the target;
# io/postgres/schema_files.h says how they are found.
function(rt_embed_sql target)
  set(entries "")
  foreach(folder ${ARGN})
    file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/sql/${folder}/*.sql)
    list(SORT files)
    foreach(file ${files})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
      file(READ ${file} text)
      get_filename_component(name ${file} NAME)
      string(APPEND entries "      {\"${folder}\", \"${name}\", R\"sql_file(${text})sql_file\"},\n")
    endforeach()
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/schema_files.cc)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
"#include \"io/postgres/schema_files.h\"

namespace rt::postgres {

std::span<const SchemaFile> schema_files() {
  static constexpr SchemaFile kFiles[] = {
@entries@  };
  return kFiles;
}

}  // namespace rt::postgres
")
  target_sources(${target} PRIVATE ${source})
endfunction()
