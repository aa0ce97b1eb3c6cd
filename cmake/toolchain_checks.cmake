# gcc 12 destroys temporaries of co_await expressions twice, silently; the project is built by clang only.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Datafuse Realtime is built with clang-19 (this is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}). "
                      "Build with ./dev build, or configure with a preset: cmake --preset release")
endif()
