# mbedtls_psa: Mbed TLS 2.28 from Debian's source package, built for this machine with our own
# configuration, for the POSIX port and its tests.
set(STAMP_MBEDTLS_DIR ${CMAKE_SOURCE_DIR}/third_party/mbedtls CACHE PATH
  "source of Mbed TLS 2.28; scripts/setup puts it there")

if(NOT EXISTS ${STAMP_MBEDTLS_DIR}/include/mbedtls/version.h)
  message(FATAL_ERROR "no Mbed TLS source in ${STAMP_MBEDTLS_DIR}\n"
    "  try: scripts/setup, which installs the packages and gets the source")
endif()

file(GLOB mbedtls_sources CONFIGURE_DEPENDS ${STAMP_MBEDTLS_DIR}/library/*.c)
add_library(mbedtls_psa STATIC ${mbedtls_sources})
target_include_directories(mbedtls_psa SYSTEM PUBLIC ${STAMP_MBEDTLS_DIR}/include)
target_include_directories(mbedtls_psa PRIVATE ${STAMP_MBEDTLS_DIR}/library)
target_compile_definitions(mbedtls_psa PUBLIC
  MBEDTLS_CONFIG_FILE="${CMAKE_SOURCE_DIR}/cmake/mbedtls_config_posix.h")
# Not our code: its warnings are off, and it is optimised also where ours is not.
target_compile_options(mbedtls_psa PRIVATE -w -O2)
set_target_properties(mbedtls_psa PROPERTIES C_EXTENSIONS ON POSITION_INDEPENDENT_CODE ON)
