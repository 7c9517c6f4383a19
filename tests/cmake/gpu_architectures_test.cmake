# cmake -D SOURCE_DIR=… -D FOLDER=… -P gpu_architectures_test.cmake: with an nvidia-smi and an nvcc of its own in FOLDER.
cmake_minimum_required(VERSION 3.22)
include(${SOURCE_DIR}/cmake/gpu_architectures.cmake)
set(ENV{PATH} "${FOLDER}:$ENV{PATH}")
set(nvcc ${FOLDER}/nvcc)

function(write_program name lines)
  file(WRITE ${FOLDER}/${name} "#!/bin/sh\n${lines}\n")
  file(CHMOD ${FOLDER}/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# expect(ARCHITECTURES LINES): of a machine whose nvidia-smi is a script of these lines.
function(expect architectures lines)
  write_program(nvidia-smi "${lines}")
  quern_gpu_architectures(found ${nvcc})
  if(NOT found STREQUAL "${architectures}")
    message(SEND_ERROR "nvidia-smi \"${lines}\": expected ${architectures}, got ${found}")
  endif()
endfunction()

write_program(nvcc "printf 'sm_75\\nsm_80\\nsm_86\\nsm_89\\nsm_90\\nsm_100\\n'")
expect("86" "echo 8.6")
expect("90" "echo 9.0; echo 9.0")
expect("86;90" "echo 8.6; echo 9.0")
expect("100" "echo 10.0")
expect("80" "echo 7.5")
expect("80" "echo 9.0; echo 7.5")
expect("80" "echo 12.1")  # newer than this nvcc
expect("80" "echo 'No devices were found'; exit 6")
expect("80" "echo 'NVIDIA-SMI has failed'")
expect("80" "echo 8.6; exit 1")
expect("80" "echo '[N/A]'")
expect("80" "true")
