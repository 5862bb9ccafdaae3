"""File names with the originals and patients that they show, and names that show neither."""

from __future__ import annotations

UUID = "12345678-1234-1234-1234-123456789abc"

COPIES_AND_SOURCES = {
    "aug_12_8831": "12",
    "augmented-3-17": "3",
    "rotated_90_IMG_7": "IMG_7",
    "rot180_IMG_7": "IMG_7",
    "rotate-15_x": "x",
    "flip_IMG_7": "IMG_7",
    "flipped_horizontal_IMG_7": "IMG_7",
    "hflip_x": "x",
    "h_flip_x": "x",
    "vflip_x": "x",
    "blur_x": "x",
    "gaussian_noise_x": "x",
    "noise_0.1_x": "x",
    "bright_x": "x",
    "brightness_1.5_x": "x",
    "crop_x": "x",
    "zoom_x": "x",
    "shear_x": "x",
    "shift_left_x": "x",
    "gray_x": "x",
    "x_aug3": "x",
    "x_aug_3": "x",
    "x-aug-3": "x",
    "x_flipped": "x",
    "x_rot90_flip": "x",
    "flip_rotated_90_IMG_7_aug3": "IMG_7",
    "x - Copy": "x",
    "x - Copy (2)": "x",
    "x_copy": "x",
    "Copy of x": "x",
    "x_jpg.rf.2fc6a10b9d8e7f60": "x",
    "M01_02_jpeg.rf.2fc6a10b9d8e7f60": "M01_02",
    "pox_x_original_IMG_7.jpg_" + UUID: "IMG_7",
    "cat_0_8831": "cat_0",
    "ISIC_0024306_downsampled": "ISIC_0024306",
}

NOT_COPIES = (
    "IMG_0001", "DSC_0012", "mpox_1", "0001", "frame_0001", "2023_0001", "image (700)", "image (2)", UUID,
    "9f86d081884c", "20230101_120000", "IMG_20230101_120000", "rotten_apple_3", "copyright", "flipper_2", "brightside",
    "crops", "x_12", "café",
)  # fmt: skip

FILES_AND_PATIENTS = {
    "M01_02": "m01",
    "NM01_01": "nm01",
    "p23_1": "p23",
    "patient12_3": "patient12",
    "patient-7": "patient-7",
    "P-001_L": "p-001",
    "subject3-img4": "subject3",
    "case_12_2": "case_12",
    "mpox_p23_1": "p23",
    "person100_virus_184": "person100",
    "NORMAL2-IM-1427-0001": "normal2-im-1427",
    "IM-0115-0001": "im-0115",
    "TCGA-A1-A0SB-01Z-00": "tcga-a1-a0sb",
    "SOB_B_A-14-22549AB-40-001": "14-22549ab",
    "8863_idx5_x51_y1251_class0": "8863",
    "video_3_frame_12": "video_3",
    "slice_3_case_07": "case_07",
    "session1_subj04_2": "subj04",
    "MRI_patient7_3": "patient7",
    "S000_V0_A": "s000",
    "P12_L_02": "p12",
}

NOT_PATIENTS = (
    *NOT_COPIES, "IMG12_3", "DSC0012_1", "r1_c2", "abcd12_3", "ISIC_0024306", "12_3", "000_0_3", "site2_patient4_1",
    "x12_v0_a",
)  # fmt: skip
