# Bare metal RV32IMAC with picolibc. The ISA of 2017 (2.2) counts the CSR instructions in "I", as
# the C library of this toolchain does.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR riscv32)
set(CMAKE_C_COMPILER riscv64-unknown-elf-gcc)
set(CMAKE_ASM_COMPILER riscv64-unknown-elf-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(stamp_machine "-march=rv32imac -mabi=ilp32 -misa-spec=2.2 -mcmodel=medany")
set(CMAKE_C_FLAGS_INIT "${stamp_machine} --specs=picolibc.specs -ffunction-sections -fdata-sections")
set(CMAKE_ASM_FLAGS_INIT "${stamp_machine}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostartfiles -Wl,--gc-sections")
