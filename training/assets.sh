#!/bin/sh
# Fetches the Debian packages that the pictures are drawn from (fonts, a word list, wallpapers that are photographs)
# and prepares them under .carry/assets, which git ignores. Needs: apt-get, dpkg, python3-fonttools, python3-pil.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
cd "$work"
packages="
fonts-dejavu-core fonts-liberation2 fonts-freefont-ttf fonts-roboto-unhinted fonts-lato fonts-cantarell
fonts-comfortaa fonts-inconsolata fonts-hack fonts-firacode fonts-crosextra-carlito fonts-crosextra-caladea
fonts-linuxlibertine fonts-play fonts-cabin fonts-tuffy fonts-vollkorn fonts-junction fonts-dosis fonts-jura
fonts-averia-sans-gwf fonts-averia-serif-gwf fonts-lobstertwo fonts-fanwood fonts-sil-gentium-basic fonts-texgyre
fonts-anonymous-pro fonts-mononoki fonts-national-park fonts-ocr-a fonts-noto-core fonts-wqy-microhei
fonts-open-sans fonts-ebgaramond fonts-quicksand fonts-courier-prime fonts-karla fonts-gfs-didot
wamerican mate-backgrounds ukui-wallpapers tuxpaint-stamps-default"
apt-get download $packages
for package in *.deb; do dpkg -x "$package" unpacked; done
python3 "$root/training/prepare_assets.py" unpacked "$root/.carry/assets"
rm -rf "$work"
