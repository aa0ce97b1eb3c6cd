# How targets are made: rt_library() for each folder of src/, rt_test() for its unit tests.

add_library(rt_flags INTERFACE)
target_compile_options(rt_flags INTERFACE -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                          -Wimplicit-fallthrough -Wno-missing-designated-field-initializers -fno-omit-frame-pointer)
target_include_directories(rt_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(rt_flags INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
                                              RT_VERSION="${PROJECT_VERSION}")
# Symbol names in the backtrace of a failed check come from the dynamic symbol table.
target_link_options(rt_flags INTERFACE -fuse-ld=lld -rdynamic)

if(RT_SANITIZE STREQUAL "address")
  target_compile_options(rt_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_link_options(rt_flags INTERFACE -fsanitize=address,undefined)
elseif(RT_SANITIZE STREQUAL "thread")
  target_compile_options(rt_flags INTERFACE -fsanitize=thread)
  target_link_options(rt_flags INTERFACE -fsanitize=thread)
elseif(RT_SANITIZE STREQUAL "fuzzer")
  target_compile_options(rt_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(rt_flags INTERFACE -fsanitize=address,undefined)
elseif(NOT RT_SANITIZE STREQUAL "")
  message(FATAL_ERROR "RT_SANITIZE is '${RT_SANITIZE}': use address, thread, fuzzer or leave it empty")
endif()

# rt_library(name [LINK targets...]): all .cc files of the folder but the tests, all headers as a checked set.
function(rt_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC rt_flags ${ARG_LINK})
    target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${headers})
    # Every header has to compile alone; the target all_verify_interface_header_sets does it.
    set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE rt_flags ${ARG_LINK})
    target_sources(${name} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${headers})
    set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  endif()
endfunction()

# rt_test(name LINK targets...): one doctest program of the folder's *_test.cc files.
# CORE: holds no Asio, so `./dev test` also runs it under ASan and UBSan.
function(rt_test name)
  cmake_parse_arguments(ARG "CORE" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  if(NOT sources)
    message(FATAL_ERROR "${name} has no *_test.cc file")
  endif()
  add_executable(${name} EXCLUDE_FROM_ALL ${sources} ${PROJECT_SOURCE_DIR}/src/testing/doctest_main.cc)
  target_link_libraries(${name} PRIVATE rt_flags rt_testing ${ARG_LINK})
  add_test(NAME ${name} COMMAND ${name})
  set_property(GLOBAL APPEND PROPERTY RT_TESTS ${name})
  if(ARG_CORE)
    set_property(GLOBAL APPEND PROPERTY RT_CORE_TESTS ${name})
    set_tests_properties(${name} PROPERTIES LABELS core)
  else()
    set_tests_properties(${name} PROPERTIES LABELS shell)
  endif()
endfunction()

# The targets that gather the others, once all folders are known.
function(rt_finish)
  get_property(tests GLOBAL PROPERTY RT_TESTS)
  get_property(core_tests GLOBAL PROPERTY RT_CORE_TESTS)
  add_custom_target(core_tests DEPENDS ${core_tests})
  add_custom_target(all_tests DEPENDS ${tests})
endfunction()
